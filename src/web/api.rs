//! Routes and handlers.

use super::desk::Desk;
use super::hub::{Hub, Latest};
use super::people::{Away, EndLimit, EndOverride, Ev, Limit, Nothing, Override, SetMode};
use super::room::{Room, Seat};
use super::says::{failure, json_text, too_much};
use super::serve::CONNECTIONS_MAX;
use super::why::Whys;
use super::{Exits, ask, guard, live, now, openapi, site, ui};
use crate::cycle::{CycleReport, Heard, HistoryRead, JournalRead, NotDone};
use crate::model::{DeviceHealth, PeopleInput, Rung};
use crate::site::Mode;
use crate::time::{Interval, Timestamp};
use axum::body::{Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What people say is a line.
const BODY_MAX: usize = 16 * 1024;
/// From the end of a request's head to the end of its body.
const BODY: Duration = Duration::from_secs(10);
/// Inputs are heard at the start of a cycle.
const PATIENCE: Duration = Duration::from_secs(5);
/// Alternatives solved at once, each on a core; and requests that wait for one, an eighth of all connections.
const SOLVES: usize = 8;
/// Readers of the history at once: it has one connection to its file.
const READERS: usize = 2;
/// Readers of the journal at once: each reads a whole file of it.
const SEARCHES: usize = 1;
const WAITING: usize = CONNECTIONS_MAX / 8;

#[derive(Clone)]
struct App {
    hub: Arc<Hub>,
    room: Arc<Room>,
    tokens: Arc<guard::Tokens>,
    whys: Arc<Whys>,
    readers: Desk,
    searches: Desk,
    inbox: mpsc::Sender<Heard>,
    history: Option<Arc<dyn HistoryRead>>,
    journal: Option<Arc<dyn JournalRead>>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

type Asks = State<App>;

pub fn router(exits: Exits, room: Arc<Room>) -> Router {
    let app = App {
        hub: exits.hub,
        room,
        tokens: Arc::default(),
        whys: Arc::new(Whys::new(Desk::new(SOLVES, WAITING))),
        readers: Desk::new(READERS, WAITING),
        searches: Desk::new(SEARCHES, WAITING),
        inbox: exits.inbox,
        history: exits.history,
        journal: exits.journal,
        metrics: exits.metrics,
    };
    Router::new()
        .route("/", get(|| async { ui::file("") }))
        .route(
            "/{*path}",
            get(|Path(path): Path<String>| async move { ui::file(&path) }),
        )
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .nest("/api/v1", reads().merge(posts()))
        .layer(middleware::from_fn(guard::headers))
        .with_state(app)
}

fn reads() -> Router<App> {
    let show = |view: fn(&Hub, &CycleReport) -> Value| {
        get(move |State(app): Asks| async move { shown(&app.hub, |l| Json(view(&app.hub, &l.report)).into_response()) })
    };
    Router::new()
        .route(
            "/site",
            get(|State(app): Asks| async move { Json(site::view(&app.hub.site)) }),
        )
        .route(
            "/now",
            get(|State(app): Asks| async move { shown(&app.hub, |l| json_text(l.now()).into_response()) }),
        )
        .route(
            "/state",
            get(|State(app): Asks| async move { shown(&app.hub, |l| json_text(l.state()).into_response()) }),
        )
        .route("/plan", get(|State(app): Asks| async move { shown(&app.hub, plan) }))
        .route("/prices", show(prices))
        .route("/alarms", show(|_, r| json!(r.alarms)))
        .route("/devices", show(|_, r| devices(r)))
        .route("/decisions", get(decisions))
        .route("/why", get(why))
        .route("/series", get(series))
        .route("/history", get(history))
        .route("/live", get(follow))
        .route("/openapi.json", get(|| async { Json(openapi::document()) }))
        .route("/{*path}", any(nowhere))
}

async fn nowhere() -> Response {
    failure(
        StatusCode::NOT_FOUND,
        "there is no such path; /api/v1/openapi.json lists all",
    )
}

fn posts() -> Router<App> {
    Router::new()
        .route(
            "/ev",
            post(|s: Asks, r: Request| said::<Ev>(s, r, |b, hub, t| b.input(&hub.site.plant, t))),
        )
        .route(
            "/override",
            post(|s: Asks, r: Request| said::<Override>(s, r, |b, hub, t| b.input(&hub.site.plant, t))),
        )
        .route(
            "/end-override",
            post(|s: Asks, r: Request| said::<EndOverride>(s, r, |b, _, _| Ok(b.input()))),
        )
        .route(
            "/limit",
            post(|s: Asks, r: Request| said::<Limit>(s, r, |b, hub, t| b.input(&hub.site.plant, t))),
        )
        .route(
            "/end-limit",
            post(|s: Asks, r: Request| said::<EndLimit>(s, r, |b, _, _| b.input())),
        )
        .route(
            "/away",
            post(|s: Asks, r: Request| said::<Away>(s, r, |b, hub, t| b.input(&hub.site.plant, t))),
        )
        .route(
            "/end-away",
            post(|s: Asks, r: Request| said::<Nothing>(s, r, |_, _, _| Ok(PeopleInput::EndAway { said_at: None }))),
        )
        .route(
            "/mode",
            post(|s: Asks, r: Request| said::<SetMode>(s, r, |b, _, _| b.input())),
        )
        .route(
            "/release",
            post(|s: Asks, r: Request| said::<Nothing>(s, r, |_, _, _| Ok(PeopleInput::Release))),
        )
}

/// An answer made from the newest report; 503 before the first cycle.
fn shown(hub: &Hub, view: impl FnOnce(&Latest) -> Response) -> Response {
    match hub.latest() {
        Some(latest) => view(&latest),
        None => failure(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not over yet"),
    }
}

async fn metrics(State(app): Asks) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (app.metrics)()).into_response()
}

async fn healthz(State(app): Asks) -> Response {
    if app.hub.latest().is_some_and(|l| l.is_alive()) {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no cycle for 10 s\n").into_response()
    }
}

/// Controlling by a plan.
async fn readyz(State(app): Asks) -> Response {
    let Some(latest) = app.hub.latest().filter(|l| l.is_alive()) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no cycle for 10 s\n").into_response();
    };
    let (rung, mode) = (latest.report.state.rung, latest.report.state.mode);
    if mode == Mode::Control && matches!(rung, Rung::Normal | Rung::LastPlan) {
        return "ok\n".into_response();
    }
    let why = now::rung(rung, mode)["en"].as_str().unwrap_or_default().to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

fn plan(latest: &Latest) -> Response {
    match latest.plan() {
        Some(text) => json_text(text).into_response(),
        None => failure(StatusCode::SERVICE_UNAVAILABLE, "there is no plan yet"),
    }
}

async fn follow(State(app): Asks, Extension(seat): Extension<Arc<Seat>>, headers: HeaderMap) -> Response {
    live::answer(&app.hub, &app.room, &seat, &headers)
}

async fn why(State(app): Asks, asked: Result<Query<ask::Why>, QueryRejection>) -> Response {
    match ask::read(asked) {
        Ok(asked) => app.whys.tell(&app.hub, &asked.component, asked.at).await,
        Err(refused) => refused,
    }
}

fn devices(report: &CycleReport) -> Value {
    let view = |d: &DeviceHealth| {
        let mut view = now::device_view(d);
        view["wear"] = json!(report.state.field.devices.get(&d.device).map(|m| &m.wear));
        view
    };
    report.snapshot.devices.iter().map(view).collect()
}

/// Setpoints in force now, or what was decided at an instant of the past: as this process remembers it, else as the journal
/// has it.
async fn decisions(State(app): Asks, asked: Result<Query<ask::Decided>, QueryRejection>) -> Response {
    let at = match ask::read(asked) {
        Ok(asked) => asked.at,
        Err(refused) => return refused,
    };
    let Some(at) = at else {
        let all = |l: &Latest| Json(now::decisions(&app.hub.site.plant, &l.report)).into_response();
        return shown(&app.hub, all);
    };
    if let Some(told) = app.hub.decided_at(at) {
        return Json(told.iter().map(now::decided).collect::<Value>()).into_response();
    }
    let nothing = || failure(StatusCode::NOT_FOUND, "nothing is recorded of that instant");
    let over = app.hub.latest().is_some_and(|l| at <= l.report.snapshot.at);
    let Some(journal) = app.journal.clone().filter(|_| over) else {
        return nothing();
    };
    match reading(&app.searches, "the journal", move || journal.decided(at)).await {
        Ok(Ok(Some(all))) => Json(now::recorded(&app.hub.site.plant, &all)).into_response(),
        Ok(Ok(None)) => nothing(),
        Ok(Err(why)) => failure(StatusCode::INTERNAL_SERVER_ERROR, &why),
        Err(refused) => refused,
    }
}

/// From local midnight, two days, in steps of the decision interval.
fn prices(hub: &Hub, report: &CycleReport) -> Value {
    let plant = &hub.site.plant;
    let start = report.state.today.start;
    let count = TimeDelta::days(2).num_seconds() / plant.timing.interval.num_seconds().max(1);
    let step = |i: i64| {
        let t = start + plant.timing.interval * i as i32;
        let (over, prices) = (
            Interval {
                start: t,
                end: t + plant.timing.interval,
            },
            report.prices.as_deref(),
        );
        let buy = plant.tariff.buy_over(over, prices, &report.state.month);
        json!({"start": t, "import_per_kwh": buy.map(|p| p.price.as_per_kwh()), "estimated": buy.map(|p| p.estimated),
               "export_per_kwh": plant.tariff.sell_over(over, prices).map(|p| p.as_per_kwh())})
    };
    (0..count).map(step).collect()
}

const NO_HISTORY: &str = "this controller keeps no history";

async fn series(State(app): Asks) -> Response {
    let Some(history) = app.history.clone() else {
        return failure(StatusCode::NOT_FOUND, NO_HISTORY);
    };
    match reading(&app.readers, "the history", move || history.keys()).await {
        Ok(Ok(keys)) => Json(keys).into_response(),
        Ok(Err(why)) => failure(StatusCode::INTERNAL_SERVER_ERROR, &why),
        Err(refused) => refused,
    }
}

async fn history(State(app): Asks, asked: Result<Query<ask::Past>, QueryRejection>) -> Response {
    let Some(history) = app.history.clone() else {
        return failure(StatusCode::NOT_FOUND, NO_HISTORY);
    };
    let Some(latest) = app.hub.latest() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not over yet");
    };
    let asked =
        match ask::read(asked).and_then(|a| a.within(latest.report.state.today.start, latest.report.snapshot.at)) {
            Ok(asked) => asked,
            Err(refused) => return refused,
        };
    let (from, to, step) = (asked.from, asked.to, asked.step);
    let read = move || {
        let points = |key: &String| Ok((key.clone(), history.read(key, from, to, step)?));
        asked
            .series
            .iter()
            .map(points)
            .collect::<Result<BTreeMap<String, _>, String>>()
    };
    match reading(&app.readers, "the history", read).await {
        Ok(Ok(all)) => {
            Json(json!({"from": from, "to": to, "step_s": step.num_seconds(), "series": all})).into_response()
        }
        Ok(Err(why)) => failure(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Err(refused) => refused,
    }
}

/// Reads what is kept when there is room for one more reader.
async fn reading<T: Send + 'static>(
    desk: &Desk,
    what: &str,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    let Ok(_place) = desk.place() else {
        return Err(too_much(&format!("too many read {what}")));
    };
    let read = desk.work(read).await;
    read.map_err(|why| failure(StatusCode::INTERNAL_SERVER_ERROR, &why))
}

/// Checks the token, reads the body, tells the cycle, and gives its answer.
async fn said<T: for<'a> Deserialize<'a>>(
    State(app): Asks,
    request: Request,
    input: impl FnOnce(T, &Hub, Timestamp) -> Result<PeopleInput, String>,
) -> Response {
    if let Err(refused) = app.tokens.check(&app.hub, request.headers()) {
        return refused;
    }
    let body = match body(request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Some(latest) = app.hub.latest() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not over yet");
    };
    match parsed(&body).and_then(|b| input(b, &app.hub, latest.report.snapshot.at)) {
        Ok(input) => tell(&app, input).await,
        Err(why) => failure(StatusCode::UNPROCESSABLE_ENTITY, &why),
    }
}

/// A JSON object, or nothing for one without keys. An array is none, although it would do for the parser.
fn parsed<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, String> {
    let text = match body.trim_ascii() {
        b"" => b"{}",
        text if text.starts_with(b"{") => text,
        _ => return Err("the body is not a JSON object".into()),
    };
    serde_json::from_slice(text).map_err(|e| {
        // the place says nothing: a body has one line
        let why = e.to_string();
        let why = why.split(" at line ").next().unwrap_or(&why);
        format!("the body is not what is expected here: {why}")
    })
}

async fn body(request: Request) -> Result<Bytes, Response> {
    match tokio::time::timeout(BODY, to_bytes(request.into_body(), BODY_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(failure(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the body did not come whole, or is longer than {BODY_MAX} bytes"),
        )),
        Err(_) => Err(failure(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come within 10 s",
        )),
    }
}

async fn tell(app: &App, input: PeopleInput) -> Response {
    let (answer, heard) = oneshot::channel();
    if app.inbox.try_send((input, answer)).is_err() {
        return too_much("too much is said at once");
    }
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(Ok(Ok(done))) => Json(done).into_response(),
        Ok(Ok(Err(NotDone::Refused(why)))) => failure(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Ok(Ok(Err(NotDone::NotKept(why)))) => failure(
            StatusCode::INSUFFICIENT_STORAGE,
            &format!("in force now, but not kept over a restart: {why}"),
        ),
        _ => failure(StatusCode::GATEWAY_TIMEOUT, "the control loop did not answer"),
    }
}
