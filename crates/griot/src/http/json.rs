//! A JSON body that is read within bounds and refused with the place that is wrong.

use super::Problem;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_ignored::Path;
use serde_json::error::Category;
use serde_path_to_error::Track;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// The longest body that is read: 64 KiB. A longer one is answered with 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How much of a too long body is thrown away before the answer, so that a client that sends all
/// before it reads gets the 413 and not a reset connection.
const DISCARD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The JSON object in a request's body.
///
/// Broken JSON is answered with 400, more than [`BODY_BYTES_MAX`] bytes with 413, a body that
/// does not arrive with 408, and wrong types, wrong values and unknown fields with 422 and a
/// `field` like `items[0].qty`. The content type is not looked at.
///
/// `T` itself need not refuse unknown fields, and should not where it is also part of an event: an
/// older program could then not read what a newer one wrote.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if waits_to_send_too_much(&parts.headers) {
            return Err(too_long());
        }
        let bytes = tokio::time::timeout(BODY_TIMEOUT, read(body))
            .await
            .map_err(|_| {
                Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body did not arrive in time; send it again",
                )
            })??;
        parse(&bytes).map(Json)
    }
}

/// A client that asks before it sends (`Expect: 100-continue`) need not send in vain.
fn waits_to_send_too_much(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT) && announces_too_much(headers)
}

fn announces_too_much(headers: &HeaderMap) -> bool {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| length > BODY_BYTES_MAX)
}

/// A layer's function: answers a request whose body is announced as longer than [`BODY_BYTES_MAX`]
/// with 413, also where nothing would read it.
pub async fn refuse_long_bodies(request: Request, next: Next) -> Response {
    if !announces_too_much(request.headers()) {
        return next.run(request).await;
    }
    if !waits_to_send_too_much(request.headers()) {
        // What it sends is read first, so that it reads the answer.
        let _ = tokio::time::timeout(BODY_TIMEOUT, read(request.into_body())).await;
    }
    too_long().into_response()
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut seen = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::malformed(format!("the body broke off: {error}; send it again"))
        })?;
        seen = seen.saturating_add(chunk.len());
        if seen <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&chunk);
        } else if seen > DISCARD_BYTES_MAX {
            break;
        }
    }
    if seen > BODY_BYTES_MAX {
        Err(too_long())
    } else {
        Ok(bytes)
    }
}

fn too_long() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is longer than {BODY_BYTES_MAX} bytes; send less"),
    )
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Whether it is JSON at all is settled first: otherwise a wrong type would hide that the rest
    // is broken, and the status would depend on the order of the fields.
    let text = std::str::from_utf8(bytes).map_err(broken)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(broken)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = Track::new();
    let json = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let mut unknown = None;
    let object: Result<Object<T>, _> = serde_ignored::deserialize(json, |path| {
        unknown.get_or_insert_with(|| place(&path));
    });
    // What is missing is often what was written under the name that is unknown.
    if let Some(field) = unknown {
        let detail = format!("the field `{field}` is unknown; correct its name or leave it out");
        return Err(Problem::invalid(field, detail));
    }
    let Object(value) = object.map_err(|error| {
        if error.classify() != Category::Data {
            return broken(error);
        }
        let detail = error.to_string();
        Problem::invalid(field(&track.path().to_string(), &detail), detail)
    })?;
    Ok(value)
}

/// Where an unknown field is, written as `serde_path_to_error` does: `items[0].price`.
fn place(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", place(parent)),
        Path::Map { parent, key } => match place(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => place(parent),
    }
}

fn broken(error: impl fmt::Display) -> Problem {
    Problem::malformed(format!("the body is not valid JSON: {error}"))
}

/// The path of the wrong field. serde reports a missing or repeated one at its parent, so its
/// name is taken from the text; a wrong body as a whole has no field to name.
fn field(path: &str, detail: &str) -> String {
    let named = ["missing", "duplicate"]
        .iter()
        .find_map(|what| detail.strip_prefix(what)?.strip_prefix(" field `"))
        .and_then(|rest| rest.split('`').next());
    match (path, named) {
        (".", Some(name)) => name.to_owned(),
        (".", None) => "body".to_owned(),
        (parent, Some(name)) => format!("{parent}.{name}"),
        (path, None) => path.to_owned(),
    }
}

/// A value that must be written as a JSON object. serde's derive would also take an array with
/// the fields' values in order, and silently mean something by it.
///
/// ```
/// use griot::http::Object;
///
/// #[derive(serde::Deserialize)]
/// struct Item { id: String }
///
/// assert!(serde_json::from_str::<Item>(r#"["IT-001"]"#).is_ok());
/// assert!(serde_json::from_str::<Object<Item>>(r#"["IT-001"]"#).is_err());
/// # let Object(item) = serde_json::from_str::<Object<Item>>(r#"{"id":"IT-001"}"#).unwrap();
/// # assert_eq!(item.id, "IT-001");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read is of interest")]
    struct Order {
        customer: String,
        items: Vec<Object<Item>>,
        note: Option<Note>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read is of interest")]
    struct Item {
        id: String,
        qty: u32,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read is of interest")]
    struct Note {
        text: String,
    }

    fn refused(body: &str) -> (u16, Option<String>) {
        let problem = parse::<Order>(body.as_bytes()).unwrap_err();
        (
            problem.status().as_u16(),
            problem.field().map(str::to_owned),
        )
    }

    #[test]
    fn broken_json_is_malformed_wherever_it_breaks() {
        for body in [
            "",
            "{",
            "nonsense",
            r#"{"customer":1,"#,
            "{}{}",
            "\"\u{0}\"",
        ] {
            assert_eq!(refused(body), (400, None), "{body:?}");
        }
        assert_eq!(
            parse::<Order>(b"{\"customer\":\"\xff\"}")
                .unwrap_err()
                .status()
                .as_u16(),
            400
        );
        assert_eq!(refused(&"[".repeat(60_000)), (400, None));
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let invalid = |body: &str, field: &str| {
            assert_eq!(refused(body), (422, Some(field.to_owned())), "{body}");
        };
        invalid("[]", "body");
        invalid("null", "body");
        invalid("{}", "customer");
        invalid(r#"{"customer":7}"#, "customer");
        invalid(r#"{"customer":null}"#, "customer");
        invalid(r#"{"customer":"c","customer":"d"}"#, "customer");
        invalid(r#"{"customer":"c","items":{}}"#, "items");
        invalid(r#"{"customer":"c","items":[["i",1]]}"#, "items[0]");
        invalid(
            r#"{"customer":"c","items":[{"id":"i","qty":1},{"id":"i"}]}"#,
            "items[1].qty",
        );
        invalid(
            r#"{"customer":"c","items":[{"id":"i","qty":-1}]}"#,
            "items[0].qty",
        );
        invalid(
            r#"{"customer":"c","items":[{"id":"i","qty":1.5}]}"#,
            "items[0].qty",
        );
        invalid(
            r#"{"customer":"c","items":[{"id":"i","qty":1e3}]}"#,
            "items[0].qty",
        );
    }

    #[test]
    fn the_first_unknown_field_is_named_with_its_place() {
        for (body, field) in [
            (r#"{"customer":"c","remark":7,"items":[]}"#, "remark"),
            (r#"{"remark":{"a":[1]},"items":7}"#, "remark"),
            (
                r#"{"customer":"c","items":[{"id":"i","quantity":1}]}"#,
                "items[0].quantity",
            ),
            (
                r#"{"customer":"c","items":[{"id":"i","qty":1},{"id":"i","qty":1,"price":0}]}"#,
                "items[1].price",
            ),
            (
                r#"{"customer":"c","items":[],"note":{"text":"","by":"c"}}"#,
                "note.by",
            ),
        ] {
            assert_eq!(refused(body), (422, Some(field.to_owned())), "{body}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit_and_not_a_byte_further() {
        assert_eq!(
            read(Body::from(vec![b' '; BODY_BYTES_MAX]))
                .await
                .unwrap()
                .len(),
            BODY_BYTES_MAX
        );
        let longer = read(Body::from(vec![b' '; BODY_BYTES_MAX + 1]))
            .await
            .unwrap_err();
        assert_eq!(longer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_long_body_is_refused_also_where_nothing_reads_it() {
        use tower::ServiceExt;
        let router = axum::Router::new()
            .route("/", axum::routing::post(async || "done"))
            .layer(axum::middleware::from_fn(refuse_long_bodies));
        for (bytes, status) in [(BODY_BYTES_MAX, 200), (BODY_BYTES_MAX + 1, 413)] {
            let request = Request::post("/")
                .header(header::CONTENT_LENGTH, bytes)
                .body(Body::from(vec![b' '; bytes]))
                .unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status);
        }
    }

    #[tokio::test]
    async fn an_endless_body_is_given_up() {
        let chunk = Ok::<_, std::io::Error>(vec![b' '; BODY_BYTES_MAX]);
        let endless = futures_util::stream::repeat_with(move || match &chunk {
            Ok(chunk) => Ok(chunk.clone()),
            Err(error) => Err(std::io::Error::from(error.kind())),
        });
        let refused = read(Body::from_stream(endless)).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
