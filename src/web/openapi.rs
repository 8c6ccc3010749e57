//! The API's own description.

use super::ask::{SERIES_MAX, STEP_MAX_S};
use super::people::{Away, EndLimit, EndOverride, Ev, Limit, Nothing, Override, SetMode};
use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

/// Path below `/api/v1/`, summary, and the failures it has beside those all reads have.
const READS: [(&str, &str, &[&str]); 12] = [
    ("site", "What the site is: components, ratings, limits, tariff", &[]),
    ("now", "Everything of the last cycle", &["503"]),
    (
        "plan",
        "The plan in force and the plan of the day, column by column",
        &["503"],
    ),
    (
        "why",
        "Why a component does what it does in one interval, and what the best other choice would cost",
        &["400", "404", "422", "500", "503"],
    ),
    (
        "prices",
        "Import and export price from the start of today, hour by hour as known",
        &["503"],
    ),
    ("alarms", "What people should know about now", &["503"]),
    ("devices", "How each device does", &["503"]),
    (
        "decisions",
        "Setpoints in force with their reasons, now or at an instant of the past",
        &["400", "404", "500", "503"],
    ),
    ("state", "The controller's state, as it is journaled", &["503"]),
    ("series", "Names of all stored series", &["404", "500", "503"]),
    (
        "history",
        "Means of stored series over steps",
        &["400", "404", "422", "500", "503"],
    ),
    (
        "live",
        "Server-sent events: `now` each cycle, `plan` when it changed",
        &[],
    ),
];

/// What a status means here.
const FAILURES: [(&str, &str); 13] = [
    ("400", "The query cannot be read"),
    ("401", "No token, or a wrong one"),
    ("403", "A page of another origin asks"),
    ("404", "There is no such component, or nothing is kept of that"),
    ("408", "The body did not come in time"),
    ("413", "The body is too long"),
    ("421", "Asked under another name than that of this machine's loopback"),
    ("422", "Out of bounds, or not possible now: why"),
    (
        "429",
        "Too many wrong tokens within a minute; the right one is always taken",
    ),
    ("500", "The work failed: why"),
    ("503", "No cycle or plan yet, or too much at once"),
    ("504", "The control loop did not answer"),
    ("507", "In force now, but not on the disk: a restart forgets it"),
];
/// Failures that pass by themselves say after how many seconds.
const PASSING: [&str; 2] = ["429", "503"];

/// OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for (path, summary, failures) in READS {
        paths.insert(format!("/api/v1/{path}"), json!({"get": get(path, summary, failures)}));
    }
    let posts = [
        (
            "ev",
            "Departure, energy or mode of the car at a charge point",
            body::<Ev>(),
        ),
        ("override", "Overrides a component until it expires", body::<Override>()),
        ("end-override", "Ends an override early", body::<EndOverride>()),
        (
            "limit",
            "Limit at the connection point; the tightest of all that were told holds",
            body::<Limit>(),
        ),
        (
            "end-limit",
            "Ends the limits of one source in one direction",
            body::<EndLimit>(),
        ),
        ("away", "Nobody is there until then", body::<Away>()),
        ("end-away", "People are back", body::<Nothing>()),
        ("mode", "Observe or control", body::<SetMode>()),
        ("release", "Hands everything back to the devices", body::<Nothing>()),
    ];
    for (path, summary, schema) in posts {
        let required = !["release", "end-away"].contains(&path);
        paths.insert(
            format!("/api/v1/{path}"),
            json!({"post": post(summary, &schema, required)}),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Madang site controller", "version": env!("CARGO_PKG_VERSION"),
                 "description": "Times are RFC 3339 UTC; quantities carry their unit in the key; power is positive into the component."},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer",
                "description": "The token in api.json of the state folder"}},
            "schemas": {"Failure": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}},
        },
    })
}

fn parameters(path: &str) -> Vec<Value> {
    let parameter = |name: &str, required: bool, what: &str, schema: Value| json!({"name": name, "in": "query", "required": required, "description": what, "schema": schema});
    let (text, time) = (
        json!({"type": "string"}),
        json!({"type": "string", "format": "date-time"}),
    );
    match path {
        "history" => vec![
            parameter(
                "series",
                true,
                &format!("At most {SERIES_MAX} keys, separated by commas"),
                text,
            ),
            parameter("from", false, "RFC 3339; default: local midnight", time.clone()),
            parameter("to", false, "RFC 3339; default: now", time),
            parameter(
                "step_s",
                false,
                "Seconds",
                json!({"type": "integer", "minimum": 1, "maximum": STEP_MAX_S, "default": 300}),
            ),
        ],
        "decisions" => vec![parameter("at", false, "RFC 3339; default: now", time)],
        "why" => vec![
            parameter("component", true, "Name of the component", text),
            parameter("at", false, "RFC 3339; default: now", time),
        ],
        _ => Vec::new(),
    }
}

fn responses(kind: &str, done: &str, failures: &[&str]) -> Value {
    let mut all = Map::new();
    all.insert("200".into(), json!({"description": done, "content": {kind: {}}}));
    let failure = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}});
    for (status, means) in FAILURES.iter().filter(|(status, _)| failures.contains(status)) {
        let mut told = json!({"description": means});
        if *status != "421" {
            told["content"] = failure.clone();
        }
        if PASSING.contains(status) {
            told["headers"] = json!({"Retry-After": {"description": "Seconds, where too much was asked at once",
                "schema": {"type": "integer"}}});
        }
        all.insert((*status).into(), told);
    }
    Value::Object(all)
}

fn get(path: &str, summary: &str, failures: &[&str]) -> Value {
    let kind = if path == "live" {
        "text/event-stream"
    } else {
        "application/json"
    };
    let failures = [&["403", "421"][..], failures].concat();
    json!({"summary": summary, "parameters": parameters(path), "responses": responses(kind, "As asked", &failures)})
}

fn post(summary: &str, schema: &Value, required: bool) -> Value {
    let failures = ["401", "403", "408", "413", "421", "422", "429", "503", "504", "507"];
    json!({"summary": summary, "security": [{"token": []}],
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema}}},
        "responses": responses("application/json", "What is in force now", &failures)})
}

fn body<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}
