//! [`Report`]: Markdown, to the terminal and to a file under `benches/results/`.

use std::{
    fmt::{self, Write},
    path::Path,
};

#[derive(Debug, Default)]
pub struct Report(String);

impl Report {
    pub fn new(title: &str) -> Self {
        Self(format!("# {title}\n"))
    }

    pub fn text(&mut self, text: &str) {
        let _ = writeln!(self.0, "\n{text}");
    }

    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let mut line = |cells: Vec<&str>| {
            let _ = writeln!(self.0, "| {} |", cells.join(" | "));
        };
        line(head.to_vec());
        line(vec!["---"; head.len()]);
        for row in rows {
            line(row.iter().map(String::as_str).collect());
        }
    }

    /// Prints it, and writes it to `benches/results/<name>.md`.
    pub fn finish(self, name: &str) {
        print!("{}", self.0);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(format!("{name}.md"));
        std::fs::write(&path, &self.0).expect("a file");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The median with the range, as `1.26 (1.22–1.31)`.
pub fn spread(values: Vec<f64>, digits: usize) -> String {
    let low = values.iter().copied().fold(f64::MAX, f64::min);
    let high = values.iter().copied().fold(f64::MIN, f64::max);
    format!("{:.digits$} ({low:.digits$}–{high:.digits$})", median(values))
}

/// What so many percent of them do not exceed.
pub fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}
