//! The HTTP API of alarms, and its description.

mod look;
mod view;

use crate::Alarms;
use axum::Router;
use axum::routing::get;
use griot::http::ProblemDocument;
use utoipa::OpenApi;

/// The routes of alarms.
pub(crate) fn router(alarms: Alarms) -> Router {
    Router::new()
        .route("/alarms/{user}", get(look::user))
        .route("/alarms/{user}/history", get(look::history))
        .with_state(alarms)
}

/// What `/openapi.json` says of alarms.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Alarms",
        description = "Alarms of users: none lost, none told twice."
    ),
    paths(look::user, look::history),
    components(schemas(ProblemDocument))
)]
pub(crate) struct Description;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_every_route_and_schema() {
        let json = serde_json::to_value(Description::openapi()).unwrap();
        let paths: Vec<_> = json["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/alarms/{user}", "/alarms/{user}/history"]);
        // Every reference leads somewhere.
        let text = json.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
