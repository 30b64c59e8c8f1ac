//! What a Prometheus server reads at `/metrics`.

use std::{sync::OnceLock, thread, time::Duration};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sse_core::Hub;

static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();

/// In seconds: for how long a client waits for its stream, and an event is under way between nodes; how long streams last.
const WAITS: [f64; 8] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];
const DURATION: [f64; 9] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 2700.0, 3600.0];

/// Has everything counted. To be called first: times that are taken before it are lost.
pub fn install_metrics() -> Result<(), Box<dyn std::error::Error>> {
    let recorder = recorder()?;
    let prometheus = PROMETHEUS.get_or_init(|| recorder.handle());
    metrics::set_global_recorder(recorder)?;
    // Where nobody asks, what was taken is put together all the same, and does not pile up.
    thread::Builder::new().name("metrics".to_owned()).spawn(|| {
        loop {
            thread::sleep(Duration::from_secs(5));
            prometheus.run_upkeep();
        }
    })?;
    Ok(())
}

fn recorder() -> Result<metrics_exporter_prometheus::PrometheusRecorder, BuildError> {
    let buckets = |name: &str| Matcher::Full(name.to_owned());
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(buckets("sse_stream_opening_seconds"), &WAITS)?
        .set_buckets_for_metric(buckets("sse_stream_duration_seconds"), &DURATION)?
        .set_buckets_for_metric(buckets("sse_engine_delay_seconds"), &WAITS)?
        .build_recorder())
}

/// What stands at `/metrics`. It tells how many there are, and not who: a server that the world reaches keeps it to itself
/// all the same.
pub fn metrics(hub: &Hub) -> String {
    hub.record_metrics();
    PROMETHEUS.get().map(PrometheusHandle::render).unwrap_or_default()
}
