//! [`Results`]: what was measured, kept from run to run, and its table.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use serde_json::{Value, json};
use sse_benches::Report;

use crate::{FRAMEWORKS, allocator, figure::Figure, scenarios::SCENARIOS};

/// By scenario and framework.
type Runs = BTreeMap<String, BTreeMap<String, Run>>;

#[derive(Clone, Debug)]
struct Run {
    /// When, and what else the machine had to do.
    conditions: String,
    figures: Vec<Figure>,
}

/// The newest of each scenario and framework.
#[derive(Debug, Default)]
pub(crate) struct Results {
    runs: Runs,
}

impl Results {
    /// With those of earlier runs, so that one scenario may be run by itself.
    pub(crate) fn kept() -> Self {
        let kept = std::fs::read_to_string(file()).ok();
        let kept: Option<Value> = kept.and_then(|kept| serde_json::from_str(&kept).ok());
        Self { runs: kept.as_ref().and_then(Value::as_array).map_or_else(Runs::new, |kept| runs(kept)) }
    }

    /// Takes the place of what was there.
    pub(crate) fn put(&mut self, scenario: &str, framework: &str, figures: Vec<Figure>) {
        let run = Run { conditions: conditions(), figures };
        self.runs.entry(scenario.to_owned()).or_default().insert(framework.to_owned(), run);
    }

    /// Those that must be met everywhere and are not.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.each()
            .filter(|(.., figure)| figure.counted && figure.met == Some(false))
            .map(|(scenario, framework, _, figure)| {
                format!(
                    "{scenario} on {framework}: {}: {}, wanted {}",
                    figure.what, figure.value, figure.target
                )
            })
            .collect()
    }

    fn each(&self) -> impl Iterator<Item = (&str, &str, &Run, &Figure)> {
        self.runs.iter().flat_map(|(scenario, by)| {
            by.iter().flat_map(move |(framework, run)| {
                run.figures.iter().map(move |figure| (scenario.as_str(), framework.as_str(), run, figure))
            })
        })
    }

    pub(crate) fn report(&self) -> Report {
        let mut report = Report::new("Under load and faults");
        report.text(&format!(
            "`cargo run --release -p sse-benches --bin production`, {}; allocator: {}. Servers on core 0, clients and publisher on core \
             1, all over loopback. ✓ meets its target, ✗ does not. Each figure is of one run, with fewer clients than is \
             said in the short form. What else the machine had to do stands at the end: ratios compare, single times \
             hardly do.",
            machine(),
            allocator::name()
        ));
        for scenario in SCENARIOS {
            let Some(by) = self.runs.get(scenario.name) else { continue };
            report.text(&format!("## `{}`\n\n{}\n", scenario.name, scenario.about));
            report.table(&["", "target", "actix", "Rocket", "warp"], &rows(by));
        }
        report.text("## When\n");
        let mut when: Vec<Vec<String>> = Vec::new();
        for (scenario, by) in &self.runs {
            for (framework, run) in by {
                when.push(vec![scenario.clone(), framework.clone(), run.conditions.clone()]);
            }
        }
        report.table(&["scenario", "framework", "ended, and the load then"], &when);
        report
    }

    /// Writes the table, and what it is made of.
    pub(crate) fn write(&self) {
        let kept: Vec<Value> = self
            .each()
            .map(|(scenario, framework, run, figure)| {
                json!({
                    "scenario": scenario, "framework": framework, "conditions": run.conditions,
                    "what": figure.what, "target": figure.target, "value": figure.value, "met": figure.met,
                    "counted": figure.counted,
                })
            })
            .collect();
        let mut text = String::from("[\n");
        text.push_str(&kept.iter().map(Value::to_string).collect::<Vec<_>>().join(",\n"));
        text.push_str("\n]\n");
        std::fs::write(file(), text).expect("a file");
        self.report().finish("production");
    }
}

/// A figure a line, a framework a column.
fn rows(by: &BTreeMap<String, Run>) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (column, framework) in FRAMEWORKS.iter().enumerate() {
        // What belongs to no framework stands in the first column.
        let Some(run) = by.get(*framework).or_else(|| by.get("–").filter(|_| column == 0)) else {
            continue;
        };
        for figure in &run.figures {
            let at = rows.iter().position(|row| row[0] == figure.what).unwrap_or_else(|| {
                rows.push(
                    [&figure.what, &figure.target, "", "", ""].map(|cell: &str| cell.to_owned()).to_vec(),
                );
                rows.len() - 1
            });
            if !rows[at][1].contains(&figure.target) {
                rows[at][1] = format!("{}; {framework}: {}", rows[at][1], figure.target);
            }
            let mark = figure.met.map_or("", |met| if met { " ✓" } else { " ✗" });
            rows[at][2 + column] = format!("{}{mark}", figure.value);
        }
    }
    rows
}

fn runs(kept: &[Value]) -> Runs {
    let mut runs = Runs::new();
    for one in kept {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let figure = Figure {
            what: text("what"),
            target: text("target"),
            value: text("value"),
            met: one["met"].as_bool(),
            counted: one["counted"] == true,
        };
        let by = runs.entry(text("scenario")).or_default();
        let run = by
            .entry(text("framework"))
            .or_insert_with(|| Run { conditions: text("conditions"), figures: Vec::new() });
        run.figures.push(figure);
    }
    runs
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results/production.json")
}

fn conditions() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("{}, load {load}", output("date", &["-u", "+%Y-%m-%d %H:%M"]))
}

fn machine() -> String {
    let cores = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cores.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "{} cores of {}, Linux {}, {} open files at most",
        cores.lines().filter(|line| line.starts_with("processor")).count(),
        model.map_or("an unknown processor", |(_, name)| name),
        output("uname", &["-r"]).split('-').next().unwrap_or_default(),
        rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .map_or_else(|| "any number of".to_owned(), |files| files.to_string()),
    )
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
