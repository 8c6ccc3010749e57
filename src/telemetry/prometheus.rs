//! The text of `/metrics`: what the last cycle saw.

use super::influx::Status;
use crate::cycle::{Sample, help};
use crate::site::Id;
use ::prometheus::TextEncoder;
use ::prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Holds the latest samples; a scrape turns them into text, so that a cycle pays nothing for scrapers.
#[derive(Debug)]
pub struct Metrics {
    site: String,
    latest: Mutex<Vec<Sample>>,
}

impl Metrics {
    pub fn new(site: &Id) -> Self {
        Self {
            site: site.to_string(),
            latest: Mutex::new(Vec::new()),
        }
    }

    /// Takes the samples of a cycle.
    pub fn update(&self, samples: Vec<Sample>) {
        if let Ok(mut latest) = self.latest.lock() {
            *latest = samples;
        }
    }

    /// Prometheus text format 0.0.4; `sinks` are shown by name.
    pub fn text(&self, sinks: &[(&str, Status)]) -> String {
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
        let latest = self.latest.lock().map(|l| l.clone()).unwrap_or_default();
        for sample in latest.iter().chain(&sink_samples(sinks)) {
            let name = sample.metric();
            let family = families.entry(name.clone()).or_insert_with(|| family(name, sample));
            family.mut_metric().push(self.metric(sample));
        }
        families.insert("madang_build_info".into(), self.build_info());
        let families: Vec<MetricFamily> = families.into_values().collect();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|e| format!("# the metrics cannot be encoded: {e}\n"))
    }

    fn metric(&self, sample: &Sample) -> Metric {
        let mut labels = vec![label("site", &self.site)];
        labels.extend(sample.component.iter().map(|c| label("component", c.as_str())));
        labels.sort_by(|a, b| a.name().cmp(b.name()));
        let mut metric = Metric::from_label(labels);
        if is_counter(sample) {
            let mut counter = Counter::default();
            counter.set_value(sample.value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(sample.value);
            metric.set_gauge(gauge);
        }
        metric
    }

    fn build_info(&self) -> MetricFamily {
        let mut gauge = Gauge::default();
        gauge.set_value(1.0);
        let labels = vec![label("site", &self.site), label("version", env!("CARGO_PKG_VERSION"))];
        let mut metric = Metric::from_label(labels);
        metric.set_gauge(gauge);
        let mut family = MetricFamily::default();
        family.set_name("madang_build_info".into());
        family.set_help("Version of the controller".into());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(vec![metric]);
        family
    }
}

fn is_counter(sample: &Sample) -> bool {
    sample.field.ends_with("_total")
}

fn family(name: String, sample: &Sample) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name);
    family.set_help(help(sample.kind, sample.field));
    let counter = is_counter(sample);
    family.set_field_type(if counter {
        MetricType::COUNTER
    } else {
        MetricType::GAUGE
    });
    family
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.into());
    pair.set_value(value.into());
    pair
}

fn sink_samples(sinks: &[(&str, Status)]) -> Vec<Sample> {
    let of = |name: &str, field, value| Sample {
        kind: "sink",
        field,
        component: Some(Id::new(name)),
        value,
    };
    let all = sinks.iter().flat_map(|(name, s)| {
        [
            of(name, "lag_seconds", s.lag_s.unwrap_or(f64::NAN)),
            of(name, "up", f64::from(u8::from(s.trouble.is_none()))),
            of(name, "samples_total", s.sent as f64),
        ]
    });
    all.filter(|s| s.value.is_finite()).collect()
}
