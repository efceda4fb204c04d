//! Asks the system what processes use: memory now, at most, and processor time.
//! Knows `/proc` of Linux and nothing of what the processes do.

use std::{fs, str::FromStr};

use serde::Serialize;

/// The kernel shows processor time in ticks of this length (`USER_HZ`, fixed for all programs).
const TICKS_PER_SECOND: f64 = 100.0;

/// A process and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    pub pid: u32,
}

/// What one process uses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usage {
    pub rss_mib: f64,
    pub peak_mib: f64,
    /// Since the process began.
    pub cpu_s: f64,
}

/// Why a flag names no process.
#[derive(Debug, thiserror::Error)]
#[error("\"{given}\" names no process; write a name and a number, as in controller=4711")]
pub struct ProcessError {
    given: String,
}

impl FromStr for Process {
    type Err = ProcessError;

    fn from_str(given: &str) -> Result<Self, ProcessError> {
        let error = || ProcessError {
            given: given.to_owned(),
        };
        let (name, pid) = given.split_once('=').ok_or_else(error)?;
        let pid = pid.parse().map_err(|_| error())?;
        if name.is_empty() {
            return Err(error());
        }
        Ok(Self {
            name: name.to_owned(),
            pid,
        })
    }
}

impl Process {
    /// This process.
    pub(super) fn this(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            pid: std::process::id(),
        }
    }

    /// Nothing if there is no such process, or the system does not tell.
    pub(super) fn usage(&self) -> Option<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        usage(&status, &stat)
    }
}

fn usage(status: &str, stat: &str) -> Option<Usage> {
    let mebibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some((kibibytes / 1024.0 * 10.0).round() / 10.0)
    };
    // proc(5): the name in brackets may hold anything; utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu_s = (ticks()? + ticks()?) / TICKS_PER_SECOND;
    Some(Usage {
        rss_mib: mebibytes("VmRSS:")?,
        peak_mib: mebibytes("VmHWM:")?,
        cpu_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t   10300 kB\n";
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 8 9 10";
        let wanted = Usage {
            rss_mib: 10.1,
            peak_mib: 20.0,
            cpu_s: 3.0,
        };
        assert_eq!(usage(status, stat), Some(wanted));
        assert_eq!(usage("Name:\tkernel thread\n", stat), None);
    }

    #[test]
    fn finds_this_process() {
        let usage = Process::this("me").usage().unwrap();
        assert!(usage.rss_mib > 0.5 && usage.peak_mib >= usage.rss_mib);
    }

    #[test]
    fn a_flag_that_names_no_process_is_told_how_to() {
        let wanted = Process {
            name: "a".to_owned(),
            pid: 5,
        };
        assert_eq!("a=5".parse::<Process>().unwrap(), wanted);
        for wrong in ["5", "a=", "=5", "a=b"] {
            let error = wrong.parse::<Process>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("\"{wrong}\"")), "{error}");
        }
    }
}
