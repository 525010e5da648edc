//! The chat page: a few embedded files and the answers that carry them.
//!
//! Pure: a method and a path in, a response out. The page lives at `/` (which starts a demo chat)
//! and at `/chat/{business_id}/{session_id}/`; `/client.js` is its connection without the page, for
//! sites that bring their own. The page asks nothing of any other host, and its policy forbids it to.

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::response::Builder;
use hyper::{Method, Response, StatusCode};

use crate::name;
use std::sync::LazyLock;

/// Where the files are if `/` is a site's.
pub const PREFIX: &str = "/_supportal";

/// What the page may do: load our own files and open a WebSocket. Nothing inline, no other host's
/// file, no form, no frame around it.
///
/// `ws:` and `wss:` are spelt out because `'self'` does not cover them in every browser in use.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One embedded file.
struct Asset {
    content_type: &'static str,
    body: &'static [u8],
    /// May scripts of other sites load it?
    shared: bool,
}

impl Asset {
    const fn own(content_type: &'static str, body: &'static [u8]) -> Self {
        Self {
            content_type,
            body,
            shared: false,
        }
    }
}

const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";
const HTML: Asset = Asset::own(
    "text/html; charset=utf-8",
    include_bytes!("page/index.html"),
);
const STYLE: Asset = Asset::own("text/css; charset=utf-8", include_bytes!("page/chat.css"));
const SCRIPT: Asset = Asset::own(SCRIPT_TYPE, include_bytes!("page/chat.js"));
const ICON: Asset = Asset::own("image/svg+xml", include_bytes!("page/icon.svg"));
const CLIENT: Asset = Asset {
    shared: true,
    ..Asset::own(SCRIPT_TYPE, include_bytes!("page/client.js"))
};

/// The page where it is not at the root: the same with its files' addresses changed.
static HTML_BESIDE_SITE: LazyLock<Bytes> = LazyLock::new(|| {
    let html = String::from_utf8_lossy(HTML.body);
    Bytes::from(html.replace("=\"/", &format!("=\"{PREFIX}/")))
});

/// What a path stands for.
enum PageContent {
    /// The page itself.
    Page,
    Asset(&'static Asset),
    /// A chat without its final slash: the same page at its one true address.
    Redirect(HeaderValue),
}

/// Answers a request for the page or one of its files; `None` if `path` is neither (404 elsewhere).
///
/// `path` is the request target's path as it was sent: ids are never percent-encoded, so an encoded
/// one is no path of ours. `query` is kept by a redirect and means nothing else here. Any method but GET and
/// HEAD is answered with 405.
#[must_use]
pub fn respond(method: &Method, path: &str, query: Option<&str>) -> Option<Response<Bytes>> {
    let html = Bytes::from_static(HTML.body);
    Some(answer(method, find("", path, query)?, html))
}

/// The same where `/` is a site's: below [`PREFIX`], `client.js`, and the page if it `has_page`. All else is the site's.
#[must_use]
pub fn respond_beside_site(
    method: &Method,
    path: &str,
    query: Option<&str>,
    has_page: bool,
) -> Option<Response<Bytes>> {
    let content = find_beside_site(path, query, has_page)?;
    Some(answer(method, content, HTML_BESIDE_SITE.clone()))
}

/// Is this path ours beside a site, as [`respond_beside_site`] has it?
#[must_use]
pub fn is_ours_beside_site(path: &str, has_page: bool) -> bool {
    find_beside_site(path, None, has_page).is_some()
}

fn find_beside_site(path: &str, query: Option<&str>, has_page: bool) -> Option<PageContent> {
    let path = path.strip_prefix(PREFIX)?;
    find(PREFIX, path, query).filter(|_| has_page || path == "/client.js")
}

fn answer(method: &Method, content: PageContent, html: Bytes) -> Response<Bytes> {
    if method != Method::GET && method != Method::HEAD {
        let builder = secured(StatusCode::METHOD_NOT_ALLOWED).header(header::ALLOW, "GET, HEAD");
        return finish(builder, Bytes::new(), false);
    }
    let (asset, body) = match content {
        PageContent::Redirect(location) => {
            let builder =
                secured(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, location);
            return finish(builder, Bytes::new(), false);
        }
        PageContent::Page => (&HTML, html),
        PageContent::Asset(asset) => (asset, Bytes::from_static(asset.body)),
    };
    let mut builder = secured(StatusCode::OK).header(header::CONTENT_TYPE, asset.content_type);
    if asset.shared {
        builder = builder
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
            .header("cross-origin-resource-policy", "cross-origin");
    } else {
        builder = builder.header("cross-origin-resource-policy", "same-origin");
    }
    finish(builder, body, method == Method::HEAD)
}

/// What is at a path below `prefix`.
fn find(prefix: &str, path: &str, query: Option<&str>) -> Option<PageContent> {
    let asset = match path {
        "/" => return Some(PageContent::Page),
        "/chat.css" => &STYLE,
        "/chat.js" => &SCRIPT,
        "/client.js" => &CLIENT,
        // Browsers ask for the second name on their own account.
        "/icon.svg" | "/favicon.ico" => &ICON,
        _ => return find_chat(prefix, path, query),
    };
    Some(PageContent::Asset(asset))
}

fn find_chat(prefix: &str, path: &str, query: Option<&str>) -> Option<PageContent> {
    let (business_id, rest) = path.strip_prefix("/chat/")?.split_once('/')?;
    let session_id = rest.strip_suffix('/');
    if !name::is_business_id(business_id) || !name::is_session_id(session_id.unwrap_or(rest)) {
        return None;
    }
    Some(match session_id {
        Some(_) => PageContent::Page,
        None => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            PageContent::Redirect(HeaderValue::try_from(format!("{prefix}{path}/{query}")).ok()?)
        }
    })
}

/// The headers that every answer carries.
fn secured(status: StatusCode) -> Builder {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address holds the session id, which is all it takes to join: tell nobody.
        (header::REFERRER_POLICY, "no-referrer"),
        // The files belong together: after an upgrade nobody may see the new page with the old script.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let mut builder = Response::builder().status(status);
    for (name, value) in HEADERS {
        builder = builder.header(name, HeaderValue::from_static(value));
    }
    builder
}

fn finish(builder: Builder, body: Bytes, head: bool) -> Response<Bytes> {
    builder
        .header(header::CONTENT_LENGTH, body.len())
        .body(if head { Bytes::new() } else { body })
        .expect("invariant: names and values are constants or validated ids")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::protocol::close;

    fn get(path: &str) -> Response<Bytes> {
        respond(&Method::GET, path, None).expect("a path of the page")
    }

    fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
        response
            .headers()
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .unwrap()
    }

    #[test]
    fn every_file_has_its_type_its_length_and_the_policy() {
        for (path, content_type) in [
            ("/", "text/html; charset=utf-8"),
            ("/chat/1/session-123/", "text/html; charset=utf-8"),
            ("/chat.css", "text/css; charset=utf-8"),
            ("/chat.js", "text/javascript; charset=utf-8"),
            ("/client.js", "text/javascript; charset=utf-8"),
            ("/icon.svg", "image/svg+xml"),
            ("/favicon.ico", "image/svg+xml"),
        ] {
            let response = get(path);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&response, "content-type"), content_type, "{path}");
            assert_eq!(
                header(&response, "content-length"),
                response.body().len().to_string(),
                "{path}"
            );
            assert_eq!(header(&response, "content-security-policy"), POLICY);
            assert_eq!(header(&response, "x-content-type-options"), "nosniff");
            assert_eq!(header(&response, "referrer-policy"), "no-referrer");
            assert_eq!(header(&response, "cache-control"), "no-cache");
        }
    }

    #[test]
    fn the_policy_allows_no_inline_code_and_no_other_host() {
        assert!(POLICY.starts_with("default-src 'none'; "));
        assert!(!POLICY.contains("unsafe") && !POLICY.contains('*') && !POLICY.contains("http"));
        assert!(!POLICY.contains("  "), "the line break left spaces behind");
    }

    #[test]
    fn head_is_get_without_the_body() {
        for path in ["/", "/chat.js", "/chat/1/a/"] {
            let get = get(path);
            let head = respond(&Method::HEAD, path, None).unwrap();
            assert_eq!(head.status(), get.status());
            assert_eq!(head.headers(), get.headers());
            assert!(head.body().is_empty() && !get.body().is_empty());
        }
    }

    #[test]
    fn a_chat_without_its_final_slash_is_redirected() {
        let response = get("/chat/1/a.b");
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(header(&response, "location"), "/chat/1/a.b/");
        for query in ["", "a=1&b=%2F", "next=//evil.example", "\"<\u{e9}>"] {
            let response = respond(&Method::GET, "/chat/1/a.b", Some(query)).expect("the page's");
            let location = response.headers()[header::LOCATION].as_bytes();
            assert_eq!(location, format!("/chat/1/a.b/?{query}").as_bytes());
        }
        assert!(respond(&Method::GET, "/chat/1/a.b", Some("a\r\nx: y")).is_none());
    }

    #[test]
    fn beside_a_site_only_the_client_and_the_page_if_asked_for_are_ours() {
        let get =
            |path: &str, has_page| respond_beside_site(&Method::GET, path, Some("a=1"), has_page);
        for path in [
            "/",
            "/chat.js",
            "/client.js",
            "/chat/1/a/",
            "/_supportal",
            "/_supportal/x",
            "/_supportal/client.js/",
        ] {
            assert!(get(path, true).is_none(), "{path}");
        }
        for path in [
            "/",
            "/chat.js",
            "/chat.css",
            "/icon.svg",
            "/chat/1/a/",
            "/chat/1/a",
        ] {
            assert!(get(&format!("{PREFIX}{path}"), false).is_none(), "{path}");
        }
        let client = get("/_supportal/client.js", false).expect("the client");
        assert_eq!(client.body(), CLIENT.body);
        assert_eq!(header(&client, "access-control-allow-origin"), "*");
        let moved = get("/_supportal/chat/1/a", true).expect("a redirect");
        assert_eq!(header(&moved, "location"), "/_supportal/chat/1/a/?a=1");
        for path in ["/_supportal/", "/_supportal/chat/1/a/"] {
            let page = get(path, true).expect("the page");
            let text = std::str::from_utf8(page.body()).expect("text");
            let mut files = text.split("=\"/").skip(1);
            assert!(files.all(|rest| rest.starts_with("_supportal/")), "{text}");
            assert_eq!(header(&page, "content-length"), text.len().to_string());
        }
    }

    #[test]
    fn other_methods_are_told_which_are_allowed() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let response = respond(&method, "/", None).unwrap();
            assert_eq!(
                response.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{method}"
            );
            assert_eq!(header(&response, "allow"), "GET, HEAD");
        }
    }

    #[test]
    fn only_the_client_is_shared_with_other_sites() {
        assert_eq!(
            header(&get("/client.js"), "access-control-allow-origin"),
            "*"
        );
        for path in ["/", "/chat.js", "/chat.css"] {
            assert!(
                !get(path)
                    .headers()
                    .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            );
        }
    }

    #[test]
    fn any_other_path_and_illegal_ids_are_not_ours() {
        for path in [
            "",
            "/index.html",
            "/chat",
            "/chat/",
            "/chat/1",
            "/chat/1/",
            "/chat/1//",
            "/chat/01/a/",
            "/chat/x/a/",
            "/chat/1/a//",
            "/chat/1/a/b/",
            "/chat/1/a%20b/",
            "/chat/1/<script>/",
            "/chat/1/a\r\nx: y",
            "/chat.js/",
            "//chat.js",
            "//chat/1/a",
            "//chat/1/a/",
            "/ws/chat/1/a/",
        ] {
            assert!(respond(&Method::GET, path, None).is_none(), "{path:?}");
        }
        let long = format!("/chat/1/{}/", "s".repeat(name::SESSION_ID_BYTES_MAX + 1));
        assert!(respond(&Method::GET, &long, None).is_none());
    }

    #[test]
    fn the_files_ask_no_other_host_and_write_no_markup() {
        // A namespace is a name that looks like an address; nothing fetches it.
        const NAMESPACE: &str = "http://www.w3.org/2000/svg";
        for asset in [&HTML, &STYLE, &SCRIPT, &CLIENT, &ICON] {
            let text = std::str::from_utf8(asset.body)
                .unwrap()
                .replace(NAMESPACE, "");
            for banned in [
                "http://",
                "https://",
                "\"//",
                "'//",
                "url(",
                "@import",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                " style=",
                " onclick=",
            ] {
                assert!(
                    !text.contains(banned),
                    "{banned} in a {}",
                    asset.content_type
                );
            }
        }
    }

    #[test]
    fn the_client_has_the_servers_own_close_table_and_pings() {
        let text = std::str::from_utf8(CLIENT.body).unwrap();
        let ranges = close::FINAL_CODES.map(|(first, last)| format!("[{first}, {last}]"));
        let codes = ranges.join(", ");
        let table = format!("export const FINAL_CODES = Object.freeze([{codes}]);\n");
        assert!(text.contains(&table), "client.js lacks: {table}");
        let server = Config::default().server;
        let silence = (server.ping_interval + server.ping_timeout).as_millis();
        let digits = text
            .split_once("SILENCE_MS = ")
            .and_then(|(_, rest)| rest.split_once(';'));
        let (digits, _) = digits.expect("the client's own limit of silence");
        assert_eq!(digits.replace('_', ""), silence.to_string());
    }

    #[test]
    fn the_page_names_only_files_that_exist() {
        let text = std::str::from_utf8(HTML.body).unwrap();
        let names = text
            .split("src=\"")
            .chain(text.split("href=\""))
            .filter(|part| part.starts_with('/'));
        let mut seen = 0;
        for part in names {
            let (path, _) = part.split_once('"').unwrap();
            assert_eq!(get(path).status(), StatusCode::OK, "{path}");
            seen += 1;
        }
        assert_eq!(seen, 3, "icon, style and script");
    }
}
