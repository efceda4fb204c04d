//! Remembers what calls for one group content came to, and judges each answer.
//!
//! How calls fail and when they may be repeated is as for a single [`content`](crate::content);
//! here is what a group's answer has more: its members.

use std::sync::Arc;

use crate::content::{self, CallFailure, Outcome};
use crate::object::{GroupContent, GroupContentSource, MemberInfo, agrees, disagreement};
use crate::retry::Schedule;
use crate::{Stamp, Time};

/// What the driver says of a group snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `group_snapshot_id`.
    pub handle: Box<str>,
    /// `creation_time`, Unix nanoseconds; absent where the driver gives none.
    pub creation_time: Option<i64>,
    /// `ready_to_use`.
    pub ready: bool,
    /// `snapshots`.
    pub members: Box<[MemberInfo]>,
}

/// Everything remembered about one group content.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// What calls came to, as for a single content; the reply is that of the group as a whole.
    pub calls: content::Memory,
    /// The members in the driver's last answer.
    pub members: Arc<[MemberInfo]>,
}

impl Memory {
    /// What still counts now that the group content looks like this: nothing of one that had the
    /// same name, and nothing of one that is settled.
    #[must_use]
    pub fn about(self, content: Option<&GroupContent>) -> Self {
        match content {
            Some(it) if it.meta.uid == self.calls.of && !is_settled(it) => self,
            Some(it) => Self {
                calls: content::Memory {
                    of: it.meta.uid.clone(),
                    ..content::Memory::default()
                },
                ..Self::default()
            },
            None => Self::default(),
        }
    }

    /// A create or status call was answered; `wall` stands in for a creation time nobody gave.
    ///
    /// An answer that does not fit what was asked for counts as a failure too: the group snapshot
    /// is there, and can be deleted, but nothing is made of it.
    pub fn folded_reply(
        &mut self,
        content: &GroupContent,
        reply: Reply,
        (now, wall): (Time, Stamp),
        (schedule, dice): (Schedule, u8),
    ) {
        let wrong = misfit(content, &reply);
        let before = self.calls.backoff;
        let recorded = content.status.as_ref().and_then(|it| it.handle.clone());
        self.calls.folded_reply(
            content::Reply {
                // The handle in the status stays, whatever the driver says now.
                handle: recorded.unwrap_or(reply.handle),
                creation_time: reply.creation_time,
                size: 0,
                // One that is ready is not taken back for an answer nobody understands.
                ready: (reply.ready && wrong.is_none()) || content.ready(),
                group: None,
            },
            now,
            wall,
            dice,
        );
        self.members = reply.members.into();
        if let Some(wrong) = wrong {
            self.calls.failure = Some(Arc::new(CallFailure {
                what: "The driver's answer does not fit this group".into(),
                code: "".into(),
                message: wrong.into(),
                busy: false,
            }));
            self.calls.backoff = before;
            self.calls.backoff.failed(now, schedule, dice);
        }
    }

    /// What the error in the status is to say because of the last answer.
    fn wrong(&self) -> Option<String> {
        (self.calls.outcome == Outcome::Created)
            .then(|| self.calls.failure_text())
            .flatten()
    }

    /// The answer holds something the group content's status does not say.
    pub fn is_news_to(&self, content: &GroupContent) -> bool {
        let Some(reply) = &self.calls.reply else {
            return false;
        };
        let Some(status) = &content.status else {
            return true;
        };
        let error = content.error().map(|it| it.message.as_ref());
        status.handle.is_none()
            || status.ready != Some(reply.ready)
            || status.creation_time.is_none()
            || error != self.wrong().as_deref()
            || self.list_for(content).is_some()
    }

    /// The list of members the status is to have, if that is not what it has (spec group 4.9).
    ///
    /// Once a list fits, times and sizes in it stay, and readiness follows; one that does not fit
    /// is replaced. A group snapshot that was there first has none.
    pub fn list_for(&self, content: &GroupContent) -> Option<Vec<MemberInfo>> {
        let old = content.members();
        if content.volumes().is_empty() || self.members.is_empty() {
            return None;
        }
        if !content.lists_its_volumes() {
            return (*old != *self.members).then(|| self.members.to_vec());
        }
        // What does not fit does not replace what does.
        if !agrees(&self.members, content.volumes()) || self.wrong().is_some() {
            return None;
        }
        let merged: Vec<_> = old
            .iter()
            .map(|old| {
                let new = self.members.iter().find(|it| it.volume == old.volume);
                MemberInfo {
                    creation_time: old
                        .creation_time
                        .or_else(|| new.and_then(|it| it.creation_time)),
                    restore_size: old
                        .restore_size
                        .or_else(|| new.and_then(|it| it.restore_size)),
                    ready: new.and_then(|it| it.ready).or(old.ready),
                    ..old.clone()
                }
            })
            .collect();
        (*merged != *old).then_some(merged)
    }
}

/// Why an answer is not about what was asked for.
fn misfit(content: &GroupContent, reply: &Reply) -> Option<String> {
    let known = content.handle().filter(|it| *it != &*reply.handle);
    if let Some(known) = known {
        return Some(format!(
            "it is about group snapshot {}, not {known}",
            reply.handle
        ));
    }
    match &content.source {
        GroupContentSource::Volumes(volumes) => {
            disagreement(&reply.members, volumes).or_else(|| changed(content, &reply.members))
        }
        GroupContentSource::Existing { snapshots, .. } => {
            let listed = |id: &str| reply.members.iter().any(|it| &*it.handle == id);
            let missing: Vec<_> = snapshots.iter().filter(|it| !listed(it)).collect();
            let strange: Vec<_> = reply
                .members
                .iter()
                .map(|it| &it.handle)
                .filter(|it| !snapshots.contains(it))
                .collect();
            let text = |all: Vec<&Box<str>>| {
                let all: Vec<&str> = all.into_iter().map(AsRef::as_ref).collect();
                all.join(", ")
            };
            match (missing.is_empty(), strange.is_empty()) {
                (true, true) => None,
                (false, _) => Some(format!(
                    "it does not have snapshot {}; check spec.source.groupSnapshotHandles",
                    text(missing)
                )),
                (true, false) => Some(format!(
                    "it also has snapshot {}; check spec.source.groupSnapshotHandles",
                    text(strange)
                )),
            }
        }
        GroupContentSource::Neither | GroupContentSource::Both => None,
    }
}

/// A volume's snapshot has another id than is written down.
fn changed(content: &GroupContent, members: &[MemberInfo]) -> Option<String> {
    if !content.lists_its_volumes() {
        return None;
    }
    content.members().iter().find_map(|old| {
        let new = members.iter().find(|it| it.volume == old.volume)?;
        (new.handle != old.handle).then(|| {
            format!(
                "the snapshot of volume {} is {}, and was {}",
                old.volume, new.handle, old.handle
            )
        })
    })
}

fn is_settled(content: &GroupContent) -> bool {
    let listed = content.volumes().is_empty() || !content.members().is_empty();
    content.ready() && listed && !content.being_created && !content.meta.deleting
}
