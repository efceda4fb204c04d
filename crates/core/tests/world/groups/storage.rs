//! Plays the driver's side of group snapshots: works, refuses, times out before and after its
//! effect, forgets a member in its list.

use std::collections::BTreeMap;

use tintype_core::content::{CallFailure, Outcome};
use tintype_core::group_content::Reply;
use tintype_core::object::{GroupContent, MemberInfo};

use super::cluster::VOLUMES;

/// The law about claims whose volumes are cut.
pub(super) const CLAIM_GONE: &str = "a volume is cut whose claim is gone";

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Works,
    /// It is cut, but not ready to use yet.
    NotYet,
    Refuses,
    TimesOutBefore,
    TimesOutAfter,
    /// It is cut, and the answer has one member too few.
    WrongList,
    /// The secret is missing, so nothing is called.
    NoSecret,
}

impl How {
    pub(super) const ALL: [Self; 7] = [
        Self::Works,
        Self::NotYet,
        Self::Refuses,
        Self::TimesOutBefore,
        Self::TimesOutAfter,
        Self::WrongList,
        Self::NoSecret,
    ];
}

/// A group snapshot on storage.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    pub(super) handle: String,
    /// Volume and snapshot of each member.
    pub(super) members: Vec<(String, String)>,
    pub(super) ready: bool,
}

/// Everything on storage, by the name it was asked for.
#[derive(Debug, Default)]
pub(super) struct Storage {
    pub(super) cuts: BTreeMap<String, Cut>,
    /// How many were ever cut.
    pub(super) made: u32,
    /// The law the driver saw broken.
    pub(super) harm: Option<&'static str>,
}

type Answer<T> = Result<T, (Outcome, CallFailure)>;

fn failed<T>(outcome: Outcome) -> Answer<T> {
    let failure = CallFailure {
        what: "Failed".into(),
        code: format!("{outcome:?}").into(),
        message: "the walk wants it".into(),
        busy: false,
    };
    Err((outcome, failure))
}

impl Storage {
    /// Puts a group there that nobody here asked for; its id, and those of its members.
    pub(super) fn is_there_already(&mut self) -> (String, Vec<String>) {
        let members = VOLUMES.iter().enumerate();
        let members = members.map(|(at, it)| ((*it).to_owned(), format!("snap-0-{at}")));
        let cut = Cut {
            handle: "group-0".to_owned(),
            members: members.collect(),
            ready: true,
        };
        let ids = cut.members.iter().map(|(_, id)| id.clone()).collect();
        let handle = cut.handle.clone();
        self.cuts.insert("elsewhere".to_owned(), cut);
        (handle, ids)
    }

    pub(super) fn create(&mut self, name: &str, volumes: &[Box<str>], how: How) -> Answer<Reply> {
        match how {
            How::NoSecret => return failed(Outcome::NotCalled),
            How::TimesOutBefore => return failed(Outcome::Uncertain),
            // An honest driver does not refuse what it has made.
            How::Refuses if !self.cuts.contains_key(name) => return failed(Outcome::Refused),
            How::Works | How::NotYet | How::Refuses | How::TimesOutAfter | How::WrongList => {}
        }
        let made = &mut self.made;
        let cut = self.cuts.entry(name.to_owned()).or_insert_with(|| {
            *made += 1;
            let id = |at: usize| format!("snap-{made}-{at}");
            let members = volumes.iter().enumerate();
            Cut {
                handle: format!("group-{made}"),
                members: members.map(|(at, it)| (it.to_string(), id(at))).collect(),
                ready: false,
            }
        });
        cut.ready |= how != How::NotYet;
        match how {
            How::TimesOutAfter => failed(Outcome::Uncertain),
            How::WrongList => {
                let mut reply = reply(cut);
                reply.members = reply.members[1..].into();
                Ok(reply)
            }
            How::Works | How::NotYet | How::Refuses | How::TimesOutBefore | How::NoSecret => {
                Ok(reply(cut))
            }
        }
    }

    pub(super) fn ask(&self, handle: &str) -> Answer<Reply> {
        match self.cuts.values().find(|it| it.handle == handle) {
            Some(cut) => Ok(reply(cut)),
            None => failed(Outcome::Refused),
        }
    }

    /// Whether the snapshot of a member is ready; none if it is not there.
    pub(super) fn ask_member(&self, id: &str) -> Option<(String, bool)> {
        let has = |it: &&Cut| it.members.iter().any(|(_, member)| member == id);
        let cut = self.cuts.values().find(has)?;
        Some((cut.handle.clone(), cut.ready))
    }

    pub(super) fn delete(
        &mut self,
        content: &GroupContent,
        mut ids: Vec<String>,
        how: How,
    ) -> Answer<()> {
        if matches!(how, How::Refuses | How::TimesOutBefore) {
            return failed(Outcome::DeleteFailed);
        }
        let handle = content.handle().unwrap_or_default();
        if ids.len() < content.volumes().len() {
            // As the caller does with a list that was lost.
            ids = self.ask(handle).map_or(ids, |it| {
                it.members.iter().map(|it| it.handle.to_string()).collect()
            });
        }
        let found = self.cuts.iter().find(|(_, it)| it.handle == handle);
        if let Some((name, cut)) = found {
            if cut.members.iter().any(|(_, id)| !ids.contains(id)) {
                self.harm = Some("leak: a group is deleted without naming all its members");
            }
            let name = name.clone();
            self.cuts.remove(&name);
        }
        if how == How::TimesOutAfter {
            return failed(Outcome::DeleteFailed);
        }
        Ok(())
    }
}

fn reply(cut: &Cut) -> Reply {
    let member = |(volume, id): &(String, String)| MemberInfo {
        volume: volume.as_str().into(),
        handle: id.as_str().into(),
        creation_time: Some(1_000_000_000),
        ready: Some(cut.ready),
        restore_size: Some(1 << 20),
    };
    Reply {
        handle: cut.handle.as_str().into(),
        creation_time: Some(1_000_000_000),
        ready: cut.ready,
        members: cut.members.iter().map(member).collect(),
    }
}
