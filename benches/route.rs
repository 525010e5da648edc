//! Cost of finding what a request's path leads to, and of refusing what leads nowhere.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use supportal::config::{Config, Handler, Route};
use supportal::internal::server::{Router, match_django};

const PATHS: [(&str, &str); 5] = [
    ("chat", "/ws/chat/42/session-0123456789abcdef/"),
    ("escaped", "/ws/chat/42/%73ession-0123456789abcde%66/"),
    ("page", "/favicon.ico"),
    ("nearly", "/ws/chat/42/session-0123456789abcdef"),
    ("hostile", "/ws/chat/042/..%2f..%2f..%2fetc%2fpasswd%00/"),
];

fn strict(criterion: &mut Criterion) {
    let router = Router::new(&Config::default().routes_or_default()).expect("the default route");
    let mut group = criterion.benchmark_group("route/strict");
    for (case, path) in PATHS {
        group.bench_function(case, |bencher| {
            bencher.iter(|| black_box(router.match_path(black_box(path))));
        });
    }
    group.finish();
}

/// The route that matches stands behind 31 others.
fn many(criterion: &mut Criterion) {
    let mut routes: Vec<Route> = (0..31)
        .map(|number| {
            let path = format!("/ws/tenant-{number}/{{business_id}}/{{session_id}}/");
            Route::new(path, Handler::Chat)
        })
        .collect();
    routes.extend(Config::default().routes_or_default());
    let router = Router::new(&routes).expect("legal routes");
    criterion.bench_function("route/strict/last of 32", |bencher| {
        bencher.iter(|| black_box(router.match_path(black_box("/ws/chat/42/session/"))));
    });
}

fn django(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/django");
    for (case, path) in PATHS {
        group.bench_function(case, |bencher| {
            bencher.iter(|| black_box(match_django(black_box(path))));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = strict, many, django
}
criterion_main!(benches);
