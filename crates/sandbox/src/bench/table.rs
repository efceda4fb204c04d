//! Puts figures into a table for a person.
//! Pure: knows no figure that is not in JSON as well.

use comfy_table::{CellAlignment, Table, presets};

use super::figures::{Figures, Stage};

/// All stages below each other, each with its requests and processes.
pub(super) fn render(all: &[Figures]) -> String {
    all.iter().map(stage).collect::<Vec<_>>().join("\n")
}

fn stage(figures: &Figures) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let done = match figures.mode {
        Stage::Create => "snapshots ready",
        Stage::Delete => "snapshots gone",
    };
    let count = if figures.complete {
        figures.done.to_string()
    } else {
        format!("{} of {}", figures.done, figures.n)
    };
    row(&mut table, done, count);
    row(&mut table, "  after", format!("{} s", figures.seconds));
    row(&mut table, "  in a second", figures.per_s.to_string());
    for (name, time) in [
        ("  half of them after", figures.p50_s),
        ("  99 % after", figures.p99_s),
    ] {
        row(
            &mut table,
            name,
            time.map_or("–".to_owned(), |time| format!("{time} s")),
        );
    }
    if let (Some(writes), Some(reads)) = (figures.writes_per_item, figures.reads_per_item) {
        row(&mut table, "writes for each", writes.to_string());
        row(&mut table, "reads for each", reads.to_string());
    }
    for (name, share) in figures.calls.iter().flatten() {
        row(&mut table, &format!("  {name}"), share.to_string());
    }
    for (name, spent) in &figures.proc {
        let text = spent.map_or("no such process".to_owned(), |spent| {
            let (now, cpu) = (spent.now, spent.stage_cpu_s);
            format!(
                "{} MiB, at most {} MiB, {cpu} s of CPU",
                now.rss_mib, now.peak_mib
            )
        });
        row(&mut table, name, text);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt() + "\n"
}

fn row(table: &mut Table, name: &str, value: String) {
    table.add_row([name.to_owned(), value]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_figure_has_a_row() {
        let figures = Figures {
            mode: Stage::Create,
            driver: "d".to_owned(),
            n: 10,
            pvcs: 2,
            done: 9,
            complete: false,
            create_s: 0.1,
            seconds: 1.5,
            per_s: 6.0,
            p50_s: Some(0.25),
            p99_s: None,
            writes_per_item: Some(8.0),
            reads_per_item: Some(0.1),
            calls: Some(BTreeMap::from([(
                "POST volumesnapshots 201".to_owned(),
                1.0,
            )])),
            proc: BTreeMap::from([("gone".to_owned(), None)]),
        };
        let table = render(&[figures]);
        let cells: Vec<(&str, &str)> = table
            .lines()
            .map(|line| line.trim().split_once("  ").unwrap())
            .collect();
        let cell = |name: &str| {
            cells
                .iter()
                .find(|cell| cell.0 == name)
                .map(|cell| cell.1.trim())
        };
        assert_eq!(cell("snapshots ready"), Some("9 of 10"), "{table}");
        assert_eq!(cell("half of them after"), Some("0.25 s"), "{table}");
        assert_eq!(cell("99 % after"), Some("–"), "{table}");
        assert_eq!(cell("POST volumesnapshots 201"), Some("1"), "{table}");
        assert_eq!(cell("gone"), Some("no such process"), "{table}");
    }
}
