//! Whether a browser's page may use the broker. Pure.

use axum::http::{HeaderMap, HeaderValue, header};
use url::Url;

/// Whether a request comes from a page of another origin than the server's own. Programs name no
/// origin. A browser lets any page open a WebSocket to any host, and leaves the check to the server.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    let origins: Vec<&HeaderValue> = headers.get_all(header::ORIGIN).iter().collect();
    let [origin] = origins.as_slice() else {
        return !origins.is_empty();
    };
    let own = own_place(origin, headers);
    own.is_none_or(|is_own| !is_own)
}

/// Whether both name the same host and port; `None` where one of them names neither.
fn own_place(origin: &HeaderValue, headers: &HeaderMap) -> Option<bool> {
    let origin = Url::parse(origin.to_str().ok()?).ok()?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    // Read under the origin's scheme, so that both have the same port where none is named.
    let own = Url::parse(&format!("{}://{host}", origin.scheme())).ok()?;
    let place = |url: &Url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?));
    Some(place(&origin)? == place(&own)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(origins: &[&str], host: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        if let Some(host) = host {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        is_foreign(&headers)
    }

    #[test]
    fn a_program_without_an_origin_is_welcome() {
        assert!(!foreign(&[], Some("127.0.0.1:7070")));
        assert!(!foreign(&[], None));
    }

    #[test]
    fn a_page_of_the_server_itself_is_welcome() {
        for (origin, host) in [
            ("http://127.0.0.1:7070", "127.0.0.1:7070"),
            ("http://Griot.example", "griot.example"),
            ("http://griot.example", "griot.example:80"),
            ("https://griot.example", "griot.example:443"),
            ("http://[::1]:7070", "[::1]:7070"),
        ] {
            assert!(!foreign(&[origin], Some(host)), "{origin} {host}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_not() {
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:7070"),
            ("http://127.0.0.1:8080", "127.0.0.1:7070"),
            ("http://127.0.0.1", "127.0.0.1:7070"),
            ("http://127.0.0.1.evil.example:7070", "127.0.0.1:7070"),
            ("null", "127.0.0.1:7070"),
            ("file://", "127.0.0.1:7070"),
            ("", "127.0.0.1:7070"),
            ("http://127.0.0.1:7070", ""),
        ] {
            assert!(foreign(&[origin], Some(host)), "{origin} {host}");
        }
        assert!(foreign(&["http://a"], None));
        assert!(foreign(&["http://a", "http://a"], Some("a")));
    }
}
