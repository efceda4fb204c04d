//! Sends the log to standard error, as much of it as was asked for.
//! Knows nothing of what is logged.

use std::io::IsTerminal as _;

use tintype_runtime::flags::{LogFlags, LogFormat};
use tracing::Level;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How much is said, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) level: Level,
    pub(crate) format: LogFormat,
}

/// From now on. What libraries say is told one level later than what we say.
pub(crate) fn start(wanted: Wanted) {
    let Wanted { level, format } = wanted;
    let libraries = match level {
        Level::TRACE => Level::DEBUG,
        Level::DEBUG => Level::INFO,
        _ => Level::WARN,
    };
    let ours = [
        "api",
        "apiserver",
        "controller",
        "core",
        "csi",
        "driver",
        "plugin",
        "runtime",
        "sandbox",
        "sidecar",
        "webhook",
    ];
    let ours = ours.iter().map(|name| (format!("tintype_{name}"), level));
    let targets = Targets::new().with_default(libraries).with_targets(ours);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_filter(targets)
            .boxed(),
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(targets)
            .boxed(),
    };
    tracing_subscriber::registry().with(lines).init();
}

/// What a role was asked for with upstream's flags.
pub(crate) fn of_role(flags: &LogFlags) -> Wanted {
    Wanted {
        level: flags.level(),
        format: flags.logging_format,
    }
}

/// Quiet for a person who watches, unless they ask.
pub(crate) fn watched(verbose: u8) -> Wanted {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    Wanted {
        level,
        format: LogFormat::Text,
    }
}
