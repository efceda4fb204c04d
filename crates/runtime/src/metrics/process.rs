//! Tells what the operating system knows of this process, under the names every exporter uses.

use std::fs;

use prometheus::{Counter, Gauge, Opts, Registry};

use super::{MetricsError, registered};

/// The kernel counts processor time for its users in hundredths of a second.
const TICKS: f64 = 100.0;

pub(super) struct ProcessMetrics {
    processor: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    open_files: Gauge,
    most_files: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let gauge =
            |name: &str, help: &str| registered(registry, Gauge::with_opts(Opts::new(name, help)));
        let started = gauge(
            "process_start_time_seconds",
            "[ALPHA] Start time of the process since unix epoch in seconds.",
        )?;
        started.set(start().unwrap_or_default());
        let processor = Opts::new(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        );
        Ok(Self {
            processor: registered(registry, Counter::with_opts(processor))?,
            resident: gauge(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            virtual_memory: gauge(
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
            )?,
            open_files: gauge("process_open_fds", "Number of open file descriptors.")?,
            most_files: gauge(
                "process_max_fds",
                "Maximum number of open file descriptors.",
            )?,
        })
    }

    /// What cannot be read stays as it was.
    pub(super) fn refresh(&self) {
        if let Some(seconds) = processor_seconds() {
            self.processor
                .inc_by((seconds - self.processor.get()).max(0.0));
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (gauge, label) in [
            (&self.resident, "VmRSS:"),
            (&self.virtual_memory, "VmSize:"),
        ] {
            if let Some(kilobytes) = first_number(&status, label) {
                gauge.set(kilobytes * 1024.0);
            }
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder itself, open only now.
            let count = u32::try_from(files.count().saturating_sub(1));
            self.open_files.set(count.unwrap_or(u32::MAX).into());
        }
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        if let Some(most) = first_number(&limits, "Max open files") {
            self.most_files.set(most);
        }
    }
}

/// The number after `label`, on the line that begins with it.
fn first_number(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|it| it.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields of `/proc/self/stat` after the program's name, which may hold anything.
fn stat(field: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    // The first after the name is field 3.
    rest.split_whitespace().nth(field - 3)?.parse().ok()
}

fn processor_seconds() -> Option<f64> {
    Some((stat(14)? + stat(15)?) / TICKS)
}

/// Unix time at which this process started.
fn start() -> Option<f64> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    Some(first_number(&boot, "btime")? + stat(22)? / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_known() {
        let registry = Registry::new();
        let process = ProcessMetrics::new(&registry).unwrap();
        process.refresh();
        assert!(process.resident.get() > 100_000.0);
        assert!(process.virtual_memory.get() >= process.resident.get());
        assert!(process.open_files.get() >= 3.0);
        assert!(process.most_files.get() >= process.open_files.get());
        let before = process.processor.get();
        process.refresh();
        assert!(process.processor.get() >= before);
    }
}
