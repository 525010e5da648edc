//! `GET /metrics`: every counter, in the format that is asked for.

use super::sources::Sources;
use crate::metrics::{Counter, set};
use crate::shedding;
use crate::telemetry;
use hyper::HeaderMap;
use hyper::header::{ACCEPT, HeaderValue};
use std::sync::atomic::Ordering;

/// A text format that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFormat {
    /// Prometheus' own, which every scraper reads.
    Text,
    /// OpenMetrics 1.0, for whoever names it and prefers nothing else.
    OpenMetrics,
}

impl TextFormat {
    /// The one that a request prefers (RFC 9110 section 12.5.1). What it does not accept at all is no reason to
    /// answer nothing.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
        let ranges = ranges.flat_map(|value| value.split(|byte| *byte == b','));
        let (mut text, mut open_metrics) = ((0, 0.0), 0.0_f32);
        for range in ranges.filter_map(Range::parse) {
            if range.names("application/openmetrics-text", "1.0.0") {
                open_metrics = open_metrics.max(range.weight);
            }
            // The most specific range that matches is the one that counts.
            let specific = match range.media_type.as_str() {
                "*/*" => 1,
                "text/*" => 2,
                _ if range.names("text/plain", "0.0.4") => 3 + u8::from(range.version.is_some()),
                _ => continue,
            };
            if specific > text.0 {
                text = (specific, range.weight);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text.1 {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// This format of a text in OpenMetrics.
    pub(super) fn text(self, open_metrics: String) -> String {
        match self {
            Self::Text => downgrade(&open_metrics),
            Self::OpenMetrics => open_metrics,
        }
    }
}

/// One member of `Accept`.
struct Range {
    /// In lower case.
    media_type: String,
    version: Option<String>,
    /// From 0 to 1.
    weight: f32,
}

impl Range {
    /// `None` for what is none, which says nothing.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            media_type: parts.next().filter(|name| name.contains('/'))?.to_owned(),
            version: None,
            weight: 1.0,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name {
                "version" => range.version = Some(value.trim_matches('"').to_owned()),
                "q" => range.weight = value.parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
                _ => {}
            }
        }
        Some(range)
    }

    /// Is this the type, in this version or any?
    fn names(&self, media_type: &str, version: &str) -> bool {
        self.media_type == media_type
            && self.version.as_deref().is_none_or(|asked| asked == version)
    }
}

/// OpenMetrics as Prometheus' text format 0.0.4: what is said of a counter is said of `name_total`, `info` is a
/// gauge, units and the end are not said.
fn downgrade(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(of_family) = line.strip_prefix("# HELP ") {
            // The type, which says what the samples are called, is in the next line.
            help = of_family.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            text.push_str(&format!(
                "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"
            ));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Gauges that somebody else keeps are read at the moment of the scrape.
pub(super) fn measure(sources: &Sources) -> String {
    let metrics = &sources.metrics;
    set(&metrics.rooms, sources.broker.rooms());
    let (placement, now) = (sources.broker.placement(), sources.clock.now());
    for worker in 0..sources.workers.count() {
        let label = [("worker", worker)];
        let connections = metrics.worker_connections.get_or_create(&label);
        set(&connections, placement.connections(worker));
        let load = metrics.worker_load.get_or_create(&label);
        load.set(signed(placement.load(worker, now)));
    }
    let dropped = signed(telemetry::lines_dropped());
    metrics.log_lines_dropped.set(dropped);
    raise(&metrics.publications, sources.broker.publications());
    if let Some(bridge) = &sources.bridge {
        bridge.measure();
    }
    if let Some(layer) = &sources.channels {
        layer.measure();
    }
    if let Some(archive) = &sources.archive {
        archive.measure();
    }
    let prompts = sources.assistant.counts();
    for (outcome, total) in [
        ("replied", prompts.replied),
        ("timeout", prompts.timeouts),
        ("panic", prompts.panics),
        ("failure", prompts.failures),
        ("stopped", prompts.stopped),
        ("busy", prompts.busy),
    ] {
        raise(
            &metrics.prompts.get_or_create(&[("outcome", outcome)]),
            total,
        );
    }
    // What only some settings bring about has no series without them.
    for (outcome, total) in [
        ("over_share", prompts.over_share),
        ("merged", prompts.merged),
        ("later", prompts.later),
        ("unwanted", prompts.unwanted),
    ] {
        if total > 0 {
            let ended = metrics.prompts.get_or_create(&[("outcome", outcome)]);
            raise(&ended, total);
        }
    }
    if let Some(process) = Process::read() {
        metrics.resident.set(signed(process.resident_bytes));
        metrics.open_fds.set(signed(process.open_fds));
    }
    metrics.text()
}

/// Brings a counter up to a total that somebody else keeps. Two scrapes at once do it once.
fn raise(counter: &Counter, total: u64) {
    counter.inner().fetch_max(total, Ordering::Relaxed);
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What the kernel says about this process. `None` where there is no `/proc`.
struct Process {
    resident_bytes: u64,
    open_fds: u64,
}

impl Process {
    fn read() -> Option<Self> {
        let resident_bytes = shedding::resident()?;
        let open_fds = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(Self {
            resident_bytes,
            open_fds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_scrapes_at_once_count_nothing_twice() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|total| raise(&counter, total)));
            }
        });
        assert_eq!(counter.get(), 19_999);
    }

    fn format(accept: &[&str]) -> TextFormat {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().expect("a value"));
        }
        TextFormat::of(&headers)
    }

    #[test]
    fn open_metrics_are_for_those_who_name_and_prefer_them() {
        const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for accept in [
            &[PROMETHEUS_2][..],
            &[PROMETHEUS_3],
            &["application/openmetrics-text"],
            &["Application/OpenMetrics-Text; Version=1.0.0"],
            &["application/openmetrics-text; version=\"1.0.0\" ; charset=utf-8"],
            &["text/plain;q=0.5", "application/openmetrics-text;q=0.6"],
            &["application/openmetrics-text;q=0.1, text/plain;q=0.01"],
            &["application/openmetrics-text, text/plain"],
            &["application/openmetrics-text;q=0.5,*/*;q=0.1"],
            &["application/openmetrics-text;q=0.3,text/plain;q=0,*/*"],
        ] {
            assert_eq!(format(accept), TextFormat::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &[][..],
            &[""],
            &["*/*"],
            &["text/plain"],
            &["text/plain; version=0.0.4"],
            &["text/plain;version=0.0.4;q=1,*/*;q=0.1"],
            &["text/plain;version=0.0.4, application/openmetrics-text;q=0.9"],
            &["application/openmetrics-text;q=0, text/plain"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;version=0.0.1"],
            &["application/openmetrics-text;version=1.0.0;q=0.5,text/*;q=0.7"],
            &["application/openmetrics-text;q=0.5,*/*"],
            &["application/openmetrics-text;q=x"],
            &["application/openmetrics-text;q=2"],
            &["application/openmetrics-text;q=NaN"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["application/json"],
            &["application/*"],
            &[
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;version=0.0.4;q=0.3",
            ],
        ] {
            assert_eq!(format(accept), TextFormat::Text, "{accept:?}");
        }
    }

    #[test]
    fn the_text_format_says_the_same_in_its_own_words() {
        let open_metrics = "# HELP a_read_bytes Bytes.\n# TYPE a_read_bytes counter\n# UNIT a_read_bytes bytes\n\
            a_read_bytes_total 3\n# HELP a_rooms Rooms.\n# TYPE a_rooms gauge\na_rooms{state=\"# TYPE x\"} 1\n\
            # HELP a_build V.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n# EOF\n";
        let text = "# HELP a_read_bytes_total Bytes.\n# TYPE a_read_bytes_total counter\na_read_bytes_total 3\n\
            # HELP a_rooms Rooms.\n# TYPE a_rooms gauge\na_rooms{state=\"# TYPE x\"} 1\n\
            # HELP a_build_info V.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n";
        assert_eq!(downgrade(open_metrics), text);
        assert_eq!(
            TextFormat::OpenMetrics.text(open_metrics.to_owned()),
            open_metrics
        );
    }
}
