//! A picture of a rolling restart: `docs/rolling-restart-<framework>.svg`.

use std::{fmt::Write as _, path::Path};

const WIDTH: usize = 640;
const HEIGHT: usize = 200;
/// Around the bars.
const MARGIN: usize = 40;

/// Bars of the reconnects in each second, with a line at twice their mean.
pub(crate) fn write(framework: &str, seconds: &[usize]) {
    let from_first = seconds.iter().skip_while(|&&count| count == 0).count().max(1);
    let bound = 2.0 * seconds.iter().sum::<usize>() as f64 / from_first as f64;
    let top = seconds.iter().copied().max().unwrap_or_default().max(bound.ceil() as usize).max(1);
    let height = |count: f64| (count * (HEIGHT - 2 * MARGIN) as f64 / top as f64).round() as usize;
    let step = (WIDTH - 2 * MARGIN) / seconds.len().max(1);
    let floor = HEIGHT - MARGIN;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\" font-size=\"13\">Reconnects accepted by the new process, each second after SIGTERM \
         ({framework})</text>\n"
    );
    for (second, count) in seconds.iter().enumerate() {
        let (x, high) = (MARGIN + second * step, height(*count as f64));
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"{}\" height=\"{high}\" fill=\"#3b7dd8\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{second}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{count}</text>",
            floor - high,
            step.saturating_sub(3).max(1),
            x + step / 2,
            floor + 14,
            x + step / 2,
            (floor - high).saturating_sub(3),
        );
    }
    let (line, right) = (floor - height(bound), WIDTH - MARGIN);
    let _ = write!(
        svg,
        "<line x1=\"{MARGIN}\" x2=\"{right}\" y1=\"{line}\" y2=\"{line}\" stroke=\"#c33\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{right}\" y=\"{}\" text-anchor=\"end\" fill=\"#c33\">twice the mean</text>\n</svg>\n",
        line.saturating_sub(4)
    );
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::write(docs.join(format!("rolling-restart-{framework}.svg")), svg).expect("a file");
}
