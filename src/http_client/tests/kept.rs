//! Servers that close a connection which was kept.

use super::*;

#[tokio::test]
async fn a_request_is_sent_once_more_if_its_kept_connection_ends_before_the_answer_begins() {
    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    const BEGUN: &str = "HTTP/1.1 200 OK\r\nContent-";
    // A method, what its requests are answered one by one before the connection ends, and: does the last get an answer,
    // and how many requests came?
    #[rustfmt::skip]
    let rows: &[(&str, &[&str], bool, usize)] = &[
        ("POST", &[GOOD, "", GOOD], true, 3),
        ("POST", &[EMPTY, "", GOOD], true, 3),
        ("PUT", &[GOOD, "", GOOD], true, 3),
        ("GET", &[GOOD, "", GOOD], true, 3),
        // Once more is once.
        ("POST", &[GOOD, "", ""], false, 3),
        ("GET", &[GOOD, "", ""], false, 3),
        // Of an answer that has begun nobody knows what became of the request.
        ("POST", &[GOOD, BEGUN, GOOD], false, 2),
        ("POST", &[GOOD, "H", GOOD], false, 2),
        ("GET", &[GOOD, BEGUN, GOOD], true, 3),
        // A connection that nobody used before was not closed because it was kept.
        ("POST", &["", GOOD], false, 1),
        ("GET", &["", GOOD], true, 2),
        ("GET", &["", ""], false, 2),
    ];
    for &(method, answers, is_answered, requests) in rows {
        let site = Site::serving(move |number, stream| {
            stream.write_all(answers[number].as_bytes()).unwrap();
            answers[number].ends_with("\r\n\r\nok") || answers[number] == EMPTY
        });
        let client = client(LIMITS);
        let ask = async || {
            let (mut head, body) = site.request().into_parts();
            head.method = method.parse().unwrap();
            client.send(Request::from_parts(head, body)).await
        };
        let is_kept = answers[0].starts_with("HTTP/1.1 20");
        if is_kept {
            assert!(ask().await.is_ok(), "{method} {answers:?}");
        }
        let last = ask().await;
        assert_eq!(
            (last.is_ok(), site.requests()),
            (is_answered, requests),
            "{method} {answers:?}: {last:?}"
        );
        let is_new = usize::from(requests > 1 + usize::from(is_kept));
        assert_eq!(site.connections(), 1 + is_new, "{method} {answers:?}");
    }
}

#[tokio::test]
async fn a_request_that_a_kept_connection_failed_goes_over_no_other_kept_one() {
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let all_kept = Arc::new(std::sync::Barrier::new(LIMITS.connections));
    // Each connection answers one request, all of them at the same time, and ends at the next.
    let site = Site::serving(move |number, stream| {
        if number < LIMITS.connections {
            all_kept.wait();
        }
        let is_answered = number != LIMITS.connections;
        is_answered && stream.write_all(body.as_bytes()).is_ok()
    });
    let client = Arc::new(client(LIMITS));
    let post = || {
        let (client, mut request) = (Arc::clone(&client), site.request());
        *request.method_mut() = hyper::Method::POST;
        async move { client.send(request).await.is_ok() }
    };
    let first: tokio::task::JoinSet<_> = (0..LIMITS.connections).map(|_| post()).collect();
    assert!(first.join_all().await.into_iter().all(|is_ok| is_ok));
    assert!(post().await);
    assert_eq!(site.connections(), LIMITS.connections + 1);
}
