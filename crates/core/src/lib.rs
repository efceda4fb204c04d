//! Decides what to do next; never does it.
//!
//! A machine is a pure function from what was seen to the single next step:
//!
//! ```text
//! observe (caches) → facts → decide → Step → render → Write → apply → fold ↺
//! ```
//!
//! The shell (`tintype-runtime`) observes, applies and folds; everything between is here.
//! [`snapshot`] is the cluster side, [`content`] the driver side of one snapshot;
//! [`group`] and [`group_content`] are those of a group of them, and [`pair`] is
//! what both sorts share; [`patience`] says how long they wait in silence. [`guard`] keeps the
//! claim a snapshot is cut from, [`orphan`] looks after contents whose snapshot is not there,
//! [`mark`] labels what is invalid, [`stored`] moves objects between versions; [`claim`] makes
//! volumes and [`volume`] removes them.
//!
//! # The life of a snapshot
//!
//! Where nothing goes wrong, each line is one request to the API server and nothing is read.
//! Whoever crashes between two lines, or hears no answer, looks again and goes on.
//!
//! | machine | step | so that |
//! |---|---|---|
//! | `snapshot` | [`Protect`](snapshot::Step::Protect) | it stays until its content is gone; a default class is named in the same write |
//! | `snapshot` | [`ProtectClaim`](snapshot::Step::ProtectClaim) | the claim stays while it is cut; snapshots of one claim share this |
//! | `snapshot` | [`CreateContent`](snapshot::Step::CreateContent) | the sidecar hears of it; from here on the name is taken for good |
//! | `content` | [`MarkCreating`](content::Step::MarkCreating) | a crash during the call is not taken for its not having been made |
//! | `content` | [`CreateOnStorage`](content::Step::CreateOnStorage), no request | the driver cuts; asked again with the same name until it is certain, and ready |
//! | `content` | [`RecordStatus`](content::Step::RecordStatus) | the handle is known |
//! | `content` | [`ClearMark`](content::Step::ClearMark) | it may be deleted again |
//! | `snapshot` | [`Publish`](snapshot::Step::Publish), and an event | its user sees that it is bound and ready |
//! | `guard` | [`Release`](guard::Step::Release) | the claim may go |
//!
//! And its end, with deletion policy `Delete`; with `Retain` only the first and the last:
//!
//! | machine | step | so that |
//! |---|---|---|
//! | `snapshot` | [`AskContentDeletion`](snapshot::Step::AskContentDeletion) | the sidecar may believe in the deletion: nobody did it by mistake |
//! | `snapshot` | [`DeleteContent`](snapshot::Step::DeleteContent) | the content goes once nothing holds it |
//! | `content` | [`DeleteOnStorage`](content::Step::DeleteOnStorage), no request | the data goes |
//! | `content` | [`Release`](content::Step::Release) | the content goes, after the data |
//! | `snapshot` | [`Release`](snapshot::Step::Release) | the snapshot goes, after its content |
//!
//! What can go wrong is said once, in the status and an event:
//! [`snapshot::Complaint`] what a person has to put right, [`content::Outcome`] what a call may come
//! to, [`snapshot::refusal`] what the API server will not have.
//! All other steps repair what crashes, lost answers, stale caches and people leave behind.
//!
//! **Invariant:** nothing here waits, logs, reads a clock or can fail.

#![deny(
    clippy::wildcard_enum_match_arm,
    reason = "a new fact must be decided on, not fall through"
)]
#![warn(missing_docs)]

pub mod capacity;
pub mod claim;
pub mod content;
pub mod doubt;
pub mod group;
pub mod group_content;
pub mod guard;
pub mod mark;
pub mod object;
pub mod orphan;
pub mod pair;
pub mod patience;
pub mod retry;
pub mod secret;
pub mod snapshot;
pub mod stored;
pub mod topology;
pub mod validation;
pub mod volume;
pub mod why;
pub mod write;

/// What is known about an object.
///
/// A cache that lacks an object has not said that the object does not exist: caches lag. Only
/// `Absent` is evidence, and only a read past the cache, or a deletion seen on an unbroken watch,
/// yields it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen<T> {
    /// The cache has not been filled yet.
    Unknown,
    /// The cache has no such object.
    NotCached,
    /// There is no such object: a read past the cache said so.
    Absent,
    /// The object as last read.
    Present(T),
}

impl<T> Seen<T> {
    /// The object, if one is there.
    pub const fn present(&self) -> Option<&T> {
        match self {
            Self::Present(it) => Some(it),
            Self::Unknown | Self::NotCached | Self::Absent => None,
        }
    }

    /// The same knowledge about what `f` makes of the object.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Unknown => Seen::Unknown,
            Self::NotCached => Seen::NotCached,
            Self::Absent => Seen::Absent,
            Self::Present(it) => Seen::Present(f(it)),
        }
    }

    /// The same knowledge, by reference.
    pub const fn as_ref(&self) -> Seen<&T> {
        match self {
            Self::Unknown => Seen::Unknown,
            Self::NotCached => Seen::NotCached,
            Self::Absent => Seen::Absent,
            Self::Present(it) => Seen::Present(it),
        }
    }
}

/// What a machine says about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict<Step, Why> {
    /// Do this, fold the reply in, ask again.
    Do(Step),
    /// Nothing to do until the timer fires or something changes.
    Wait(Timer, Why),
    /// Nothing to do until something changes.
    Rest(Why),
}

/// Which clock a [`Verdict::Wait`] waits for; its length is payload, kept by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The short time in which a quick driver's answer saves a write.
    Grace,
    /// The back-off after a failed call.
    Retry,
    /// The next look at a snapshot that is not ready.
    Poll,
}

/// Milliseconds since some fixed moment of this process; never wall-clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// This time, `millis` later.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Wall-clock seconds since the Unix epoch, for what is written into objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub i64);

impl Stamp {
    /// As Kubernetes writes times: RFC 3339, UTC, whole seconds.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_second(self.0).map_or_else(
            |_| "1970-01-01T00:00:00Z".to_owned(),
            |time| time.to_string(),
        )
    }
}

/// `deletionPolicy`: what becomes of the storage when the content object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeletionPolicy {
    /// The storage snapshot is deleted too.
    Delete,
    /// The storage snapshot stays.
    Retain,
}

impl DeletionPolicy {
    /// Reads the field; anything but `Delete` keeps the data.
    pub fn parse(text: &str) -> Self {
        if text == "Delete" {
            Self::Delete
        } else {
            Self::Retain
        }
    }

    /// As spelled in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}
