//! Shows how the story goes: a bar while it runs, a table of steps when it is told.
//! The bar is on standard error and only for a terminal; the table is the result.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::parallel::Tally;
use crate::words;

const REFRESH: Duration = Duration::from_millis(50);

/// Longer results go on in the next line.
const WIDTH: u16 = 100;

/// The steps told so far.
#[derive(Debug)]
pub(crate) struct Report {
    bar: ProgressBar,
    tally: Arc<Tally>,
    steps: Vec<(&'static str, Duration, String)>,
    start: Instant,
    step: Instant,
}

impl Report {
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
        let template = "{spinner} {msg:22} {wide_bar} {bytes}/{total_bytes}";
        // A template that cannot be read leaves indicatif's own.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(REFRESH);
        let now = Instant::now();
        Self {
            bar,
            tally,
            steps: Vec::new(),
            start: now,
            step: now,
        }
    }

    /// Bytes that all steps together will read or write.
    pub(crate) fn expect(&self, bytes: u64) {
        self.bar.set_length(bytes);
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, name: &'static str) {
        self.step = Instant::now();
        self.bar.set_message(name);
    }

    /// The step that began last has ended.
    pub(crate) fn end(&mut self, name: &'static str, outcome: String) {
        self.steps.push((name, self.step.elapsed(), outcome));
        self.bar.set_position(self.tally.get());
    }

    /// Keeps the bar moving until the work is done.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(REFRESH);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => self.bar.set_position(self.tally.get()),
            }
        }
    }

    /// The table, and the bar gone.
    pub(crate) fn finish(self) -> String {
        self.bar.finish_and_clear();
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH)
            .set_header(["step", "took", "result"]);
        for (name, took, outcome) in &self.steps {
            table.add_row([*name, &words::lasted(*took), outcome]);
        }
        table.add_row(["in all", &words::lasted(self.start.elapsed()), ""]);
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.trim_fmt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_per_step() {
        let mut report = Report::new(Arc::default());
        for step in ["make a claim", "fill it"] {
            report.begin(step);
            report.end(step, "done".to_owned());
        }
        let table = report.finish();
        let lines: Vec<_> = table.lines().map(str::trim).collect();
        assert!(
            lines[0].starts_with("step") && lines[0].ends_with("result"),
            "{table}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("fill it") && line.ends_with("done"))
        );
        assert!(lines.last().unwrap().starts_with("in all"));
    }
}
