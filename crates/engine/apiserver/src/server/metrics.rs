//! The server's own counters.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The content type of metrics as Prometheus reads them (OpenMetrics 1.0).
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    verb: String,
    group: String,
    resource: String,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verb {
    verb: String,
}

/// Counters of requests.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    seconds: Family<Verb, Histogram>,
    inflight: Gauge,
    watches: Gauge,
}

/// What is counted about one request when it is answered.
pub(super) struct Answered<'a> {
    pub(super) verb: &'a str,
    pub(super) group: &'a str,
    pub(super) resource: &'a str,
    pub(super) code: u16,
    pub(super) seconds: f64,
}

impl Metrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let buckets =
            || Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]);
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            inflight: Gauge::default(),
            watches: Gauge::default(),
        };
        registry.register("apiserver_request", "Requests answered", metrics.requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "Time until an answer began, watches left out",
            metrics.seconds.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests under way",
            metrics.inflight.clone(),
        );
        registry.register("apiserver_longrunning_requests", "Watches under way", metrics.watches.clone());
        metrics
    }

    pub(super) fn begin(&self) -> Running {
        self.inflight.inc();
        Running(self.inflight.clone())
    }

    pub(crate) fn watching(&self) -> Running {
        self.watches.inc();
        Running(self.watches.clone())
    }

    pub(super) fn answered(&self, answered: &Answered<'_>) {
        let Answered { verb, group, resource, code, seconds } = answered;
        let (verb, group, resource) = ((*verb).to_owned(), (*group).to_owned(), (*resource).to_owned());
        if verb != "watch" {
            self.seconds.get_or_create(&Verb { verb: verb.clone() }).observe(*seconds);
        }
        self.requests.get_or_create(&Request { verb, group, resource, code: *code }).inc();
    }
}

/// Counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
