//! The API's own description.

use super::people::{EndOverride, Ev, Limit, Override, SetMode};
use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

const READS: [(&str, &str); 12] = [
    ("/api/v1/site", "What the site is: components, ratings, limits, tariff"),
    ("/api/v1/now", "Everything of the last cycle"),
    (
        "/api/v1/plan",
        "The plan in force and the plan of the day, column by column",
    ),
    (
        "/api/v1/why",
        "Why a component does what it does in one interval, and what the best other choice would cost",
    ),
    (
        "/api/v1/prices",
        "Import and export price from the start of today, hour by hour as known",
    ),
    ("/api/v1/alarms", "What people should know about now"),
    ("/api/v1/devices", "How each device does"),
    ("/api/v1/decisions", "Setpoints in force with their reasons"),
    ("/api/v1/state", "The controller's state, as it is journaled"),
    ("/api/v1/series", "Names of all stored series"),
    ("/api/v1/history", "Means of stored series over steps"),
    (
        "/api/v1/live",
        "Server-sent events: `now` each cycle, `plan` when it changed",
    ),
];

/// OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for (path, summary) in READS {
        paths.insert(path.into(), json!({"get": get(path, summary)}));
    }
    let posts = [
        (
            "/api/v1/ev",
            "Departure, energy or mode of the car at a charge point",
            body::<Ev>(),
        ),
        (
            "/api/v1/override",
            "Overrides a component until it expires",
            body::<Override>(),
        ),
        ("/api/v1/end-override", "Ends an override early", body::<EndOverride>()),
        (
            "/api/v1/limit",
            "External limit at the connection point",
            body::<Limit>(),
        ),
        ("/api/v1/mode", "Observe or control", body::<SetMode>()),
        (
            "/api/v1/release",
            "Hands everything back to the devices",
            json!({"type": "object"}),
        ),
    ];
    for (path, summary, schema) in posts {
        paths.insert(path.into(), json!({"post": post(summary, &schema)}));
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Madang site controller", "version": env!("CARGO_PKG_VERSION"),
                 "description": "Times are RFC 3339 UTC; quantities carry their unit in the key; power is positive into the component."},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer",
            "description": "The token in api.json of the state folder"}}},
    })
}

fn get(path: &str, summary: &str) -> Value {
    let parameter = |name: &str, required: bool, what: &str| json!({"name": name, "in": "query", "required": required, "description": what, "schema": {"type": "string"}});
    let parameters = match path {
        "/api/v1/history" => vec![
            parameter("series", true, "Keys, separated by commas"),
            parameter("from", false, "RFC 3339; default: local midnight"),
            parameter("to", false, "RFC 3339; default: now"),
            parameter("step_s", false, "Seconds; default 300"),
        ],
        "/api/v1/why" => vec![
            parameter("component", true, "Name of the component"),
            parameter("at", false, "RFC 3339; default: now"),
        ],
        _ => Vec::new(),
    };
    json!({"summary": summary, "parameters": parameters, "responses": {"200": {"description": "JSON"}, "503": {"description": "No cycle yet"}}})
}

fn post(summary: &str, schema: &Value) -> Value {
    json!({"summary": summary, "security": [{"token": []}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "Done"}, "401": {"description": "No token"}, "422": {"description": "Why not"},
                      "504": {"description": "The control loop did not answer"},
                      "507": {"description": "In force now, but not on the disk: a restart forgets it"}}})
}

fn body<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}
