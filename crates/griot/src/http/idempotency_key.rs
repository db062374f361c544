//! The request header `Idempotency-Key`.

use super::Problem;
use axum::extract::OptionalFromRequestParts;
use axum::http::request::Parts;

const NAME: &str = "idempotency-key";
const BYTES_MAX: usize = 255;

/// The request header `Idempotency-Key`: any 1 to 255 visible characters a client chose, so that
/// sending the request again has no second effect. Empty, longer, unreadable or given twice is
/// answered with 422.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        let mut values = parts.headers.get_all(NAME).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Problem::invalid("Idempotency-Key", "must be given once"));
        }
        let key = value
            .to_str()
            .map_err(|_| Problem::invalid("Idempotency-Key", "must be visible ASCII characters"))?;
        if key.is_empty() || key.len() > BYTES_MAX {
            let detail = format!("must be 1 to {BYTES_MAX} bytes");
            return Err(Problem::invalid("Idempotency-Key", detail));
        }
        Ok(Some(Self(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, Request};

    async fn read(values: &[&[u8]]) -> Result<Option<IdempotencyKey>, Problem> {
        let mut request = Request::new(());
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(NAME, value);
        }
        let (mut parts, ()) = request.into_parts();
        IdempotencyKey::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_key_has_1_to_255_bytes() {
        assert_eq!(read(&[]).await.unwrap(), None);
        assert_eq!(
            read(&[b"k"]).await.unwrap(),
            Some(IdempotencyKey("k".into()))
        );
        assert!(read(&[&[b'k'; 255]]).await.is_ok());
        let longer = [b'k'; 256];
        for refused in [
            &[b"".as_slice()] as &[&[u8]],
            &[&longer],
            &[b"\xff"],
            &[b"a", b"b"],
        ] {
            let problem = read(refused).await.unwrap_err();
            assert_eq!(problem.status().as_u16(), 422);
            assert_eq!(problem.field(), Some("Idempotency-Key"));
        }
    }
}
