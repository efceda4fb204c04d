//! Declares klog's flags and says what they come to here.

use std::str::FromStr;

use clap::{ArgAction, Args};
use tracing::Level;

use super::{Removed, go_bool, removed};
use crate::GoDuration;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("write text or json".to_owned()),
        }
    }
}

/// klog's flags. The log always goes to standard error, at once and in one stream.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub struct LogFlags {
    /// How much is logged: 0 to 3 what happens, 4 to 7 each step, from 8 on everything
    #[arg(long = "v", value_name = "N", default_value_t = 0)]
    pub verbosity: u32,
    /// Accepted for upstream's sake: patterns of Go files mean nothing here
    #[arg(
        long,
        value_name = "PATTERN=N,…",
        default_value = "",
        hide_default_value = true,
        value_parser = vmodule
    )]
    pub vmodule: String,
    /// How log lines look: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub logging_format: LogFormat,
    /// Accepted for upstream's sake: nothing is held back
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub log_flush_frequency: GoDuration,
    /// Accepted for upstream's sake: there is one stream
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub log_text_split_stream: bool,
    /// Accepted for upstream's sake: nothing is held back
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = bytes)]
    pub log_text_info_buffer_size: String,
    /// Accepted for upstream's sake: there is one stream
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub log_json_split_stream: bool,
    /// Accepted for upstream's sake: nothing is held back
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = bytes)]
    pub log_json_info_buffer_size: String,
    /// Accepted for upstream's sake: as many processors are used as there are
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub automaxprocs: bool,
    #[command(flatten)]
    removed: KlogFlags,
}

/// Flags klog had until Kubernetes 1.26.
#[derive(Debug, Clone, Args)]
struct KlogFlags {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(STDERR))]
    logtostderr: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(STDERR))]
    alsologtostderr: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(STDERR))]
    stderrthreshold: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(STDERR))]
    one_output: Option<Removed>,
    #[arg(long = "log_dir", hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(STDERR))]
    log_dir: Option<Removed>,
    #[arg(long = "log_file", hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(STDERR))]
    log_file: Option<Removed>,
    #[arg(long = "log_file_max_size", hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(STDERR))]
    log_file_max_size: Option<Removed>,
    #[arg(long = "log_backtrace_at", hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("take it out"))]
    log_backtrace_at: Option<Removed>,
    #[arg(long = "skip_headers", hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(HEADERS))]
    skip_headers: Option<Removed>,
    #[arg(long = "skip_log_headers", hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(HEADERS))]
    skip_log_headers: Option<Removed>,
    #[arg(long = "add_dir_header", hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed(HEADERS))]
    add_dir_header: Option<Removed>,
}

const STDERR: &str = "the log goes to standard error; take it out";
const HEADERS: &str = "use --logging-format";

impl LogFlags {
    /// klog's conventions: 4 is debugging, 8 shows what is sent and received.
    pub const fn level(&self) -> Level {
        match self.verbosity {
            0..=3 => Level::INFO,
            4..=7 => Level::DEBUG,
            8.. => Level::TRACE,
        }
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.vmodule.is_empty() {
            notes.push(format!(
                "--vmodule={} has no effect: there are no Go files here; use --v",
                self.vmodule
            ));
        }
        if self.log_text_split_stream || self.log_json_split_stream {
            notes.push("the log is not split: all of it goes to standard error".to_owned());
        }
        notes
    }
}

fn vmodule(text: &str) -> Result<String, String> {
    for pair in text.split(',').filter(|it| !it.is_empty()) {
        let well = pair
            .split_once('=')
            .is_some_and(|(pattern, level)| !pattern.is_empty() && level.parse::<u32>().is_ok());
        if !well {
            return Err(format!("\"{pair}\" is not PATTERN=N"));
        }
    }
    Ok(text.to_owned())
}

/// A quantity of Kubernetes: a number with a unit such as K, Ki, M or Mi.
fn bytes(text: &str) -> Result<String, String> {
    let digits = text.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
    let units = ["", "k", "K", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    if digits.len() == text.len() || !units.contains(&digits) {
        return Err("write a number of bytes, such as 512 or 4Ki".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        log: LogFlags,
    }

    fn parsed(line: &[&str]) -> Result<LogFlags, String> {
        let line = std::iter::once(&"role").chain(line);
        let parsed = Line::try_parse_from(line);
        parsed.map(|it| it.log).map_err(|it| it.to_string())
    }

    #[test]
    fn klogs_flags_are_taken_and_mapped() {
        for (line, level) in [
            (&[][..], Level::INFO),
            (&["--v=3"], Level::INFO),
            (&["--v", "5"], Level::DEBUG),
            (&["--v=8"], Level::TRACE),
            (&["--v=100"], Level::TRACE),
        ] {
            assert_eq!(parsed(line).unwrap().level(), level, "{line:?}");
        }
        let all = parsed(&[
            "--vmodule=snapshot*=5,",
            "--logging-format=json",
            "--log-flush-frequency=1s",
            "--log-text-split-stream=false",
            "--log-text-info-buffer-size=4Ki",
            "--log-json-split-stream",
            "--log-json-info-buffer-size=0",
            "--automaxprocs",
        ])
        .unwrap();
        assert_eq!(all.logging_format, LogFormat::Json);
        assert_eq!(all.notes().len(), 2);
        assert!(parsed(&[]).unwrap().notes().is_empty());
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for line in [
            "--v=-1",
            "--v=x",
            "--vmodule=a",
            "--vmodule=a=b",
            "--logging-format=xml",
            "--log-text-info-buffer-size=4Q",
            "--log-text-info-buffer-size=Ki",
        ] {
            assert!(parsed(&[line]).is_err(), "{line}");
        }
    }

    #[test]
    fn flags_klog_once_had_are_answered() {
        for line in [
            "--logtostderr",
            "--logtostderr=true",
            "--log_dir=/tmp",
            "--stderrthreshold=INFO",
        ] {
            let error = parsed(&[line]).unwrap_err();
            assert!(
                error.contains("this flag is no more; the log goes to standard error"),
                "{error}"
            );
        }
    }
}
