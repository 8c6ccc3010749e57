//! Routes and handlers.

use super::hub::{Event, Hub};
use super::people::{EndOverride, Ev, Limit, Override, SetMode};
use super::{Exits, guard, now, openapi, plan, site, ui};
use crate::cycle::{CycleReport, Heard, HistoryRead, NotDone};
use crate::model::{DeviceHealth, PeopleInput, Rung};
use crate::site::{Id, Mode};
use crate::time::{Interval, Timestamp, is_believable};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use chrono::TimeDelta;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

const BODY_MAX: usize = 16 * 1024;
const LISTENERS_MAX: usize = 32;
/// Inputs are heard at the start of a cycle.
const PATIENCE: Duration = Duration::from_secs(5);
const SERIES_MAX: usize = 64;
/// A mean over more than a year is asked by mistake.
const STEP_MAX_S: i64 = 366 * 86_400;

#[derive(Clone)]
struct App {
    hub: Arc<Hub>,
    inbox: mpsc::Sender<Heard>,
    history: Option<Arc<dyn HistoryRead>>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

pub fn router(exits: Exits) -> Router {
    let app = App {
        hub: exits.hub,
        inbox: exits.inbox,
        history: exits.history,
        metrics: exits.metrics,
    };
    let reads = Router::new()
        .route("/site", get(site_view))
        .route(
            "/now",
            get(|s: State<App>| async move { show(&s.hub, |r| now::view(&s.hub.site.plant, r)) }),
        )
        .route("/plan", get(plan_view))
        .route("/why", get(why))
        .route(
            "/prices",
            get(|s: State<App>| async move { show(&s.hub, |r| prices(&s.hub, r)) }),
        )
        .route(
            "/alarms",
            get(|s: State<App>| async move { show(&s.hub, |r| json!(r.alarms)) }),
        )
        .route("/devices", get(|s: State<App>| async move { show(&s.hub, devices) }))
        .route(
            "/decisions",
            get(|s: State<App>| async move { show(&s.hub, decisions) }),
        )
        .route(
            "/state",
            get(|s: State<App>| async move { show(&s.hub, |r| json!(*r.state)) }),
        )
        .route("/series", get(series))
        .route("/history", get(history))
        .route("/live", get(live))
        .route("/openapi.json", get(|| async { Json(openapi::document()) }));
    let posts = Router::new()
        .route(
            "/ev",
            post(|s: State<App>, h: HeaderMap, b: String| said::<Ev>(s, h, b, |b, _, _| Ok(b.input()))),
        )
        .route(
            "/override",
            post(|s: State<App>, h: HeaderMap, b: String| {
                said::<Override>(s, h, b, |b, hub, t| b.input(&hub.site.plant, t))
            }),
        )
        .route(
            "/end-override",
            post(|s: State<App>, h: HeaderMap, b: String| said::<EndOverride>(s, h, b, |b, _, _| Ok(end_override(&b)))),
        )
        .route(
            "/limit",
            post(|s: State<App>, h: HeaderMap, b: String| said::<Limit>(s, h, b, |b, _, t| b.input(t))),
        )
        .route(
            "/mode",
            post(|s: State<App>, h: HeaderMap, b: String| {
                said::<SetMode>(s, h, b, |b, _, _| Ok(PeopleInput::Mode { mode: b.mode }))
            }),
        )
        .route(
            "/release",
            post(|s: State<App>, h: HeaderMap, _: String| {
                said::<Value>(s, h, "{}".into(), |_, _, _| Ok(PeopleInput::Release))
            }),
        );
    Router::new()
        .route("/", get(|| async { ui::file("") }))
        .route(
            "/{*path}",
            get(|Path(path): Path<String>| async move { ui::file(&path) }),
        )
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .nest("/api/v1", reads.merge(posts))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(guard::headers))
        .with_state(app)
}

/// An answer made from the newest report; 503 before the first cycle.
fn show(hub: &Hub, view: impl FnOnce(&CycleReport) -> Value) -> Response {
    match hub.report() {
        Some(report) => Json(view(&report)).into_response(),
        None => failure(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not over yet"),
    }
}

fn failure(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (app.metrics)()).into_response()
}

async fn healthz(State(app): State<App>) -> Response {
    if app.hub.is_alive() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no cycle for 10 s\n").into_response()
    }
}

/// Controlling by a plan.
async fn readyz(State(app): State<App>) -> Response {
    let Some(report) = app.hub.report().filter(|_| app.hub.is_alive()) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no cycle for 10 s\n").into_response();
    };
    let (rung, mode) = (report.state.rung, report.state.mode);
    if mode == Mode::Control && matches!(rung, Rung::Normal | Rung::LastPlan) {
        return "ok\n".into_response();
    }
    let why = now::rung(rung, mode)["en"].as_str().unwrap_or_default().to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn site_view(State(app): State<App>) -> Response {
    Json(site::view(&app.hub.site)).into_response()
}

async fn plan_view(State(app): State<App>) -> Response {
    match app.hub.plan() {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        None => failure(StatusCode::SERVICE_UNAVAILABLE, "there is no plan yet"),
    }
}

#[derive(Debug, Deserialize)]
struct WhyAsked {
    component: String,
    at: Option<Timestamp>,
}

/// Why a component does what it does in the interval of an instant (default: now).
async fn why(State(app): State<App>, Query(asked): Query<WhyAsked>) -> Response {
    let Some(report) = app.hub.report() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not over yet");
    };
    let Some(schedule) = report.state.schedule.clone() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "there is no plan yet");
    };
    let Some(step) = schedule.grid.index_of(asked.at.unwrap_or(report.snapshot.at)) else {
        return failure(StatusCode::UNPROCESSABLE_ENTITY, "the plan does not reach that instant");
    };
    let hub = app.hub.clone();
    let id = Id::new(&asked.component);
    let work =
        move || plan::why_one(&hub.site.plant, &schedule, &id, step).ok_or_else(|| "there is no such component".into());
    match blocking(work).await {
        Ok(told) => Json(told).into_response(),
        Err(why) => failure(StatusCode::NOT_FOUND, &why),
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

fn decisions(report: &CycleReport) -> Value {
    report.setpoints.iter().map(now::decision).collect()
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

async fn series(State(app): State<App>) -> Response {
    let Some(history) = app.history.clone() else {
        return failure(StatusCode::NOT_FOUND, "this controller keeps no history");
    };
    match blocking(move || history.keys()).await {
        Ok(keys) => Json(keys).into_response(),
        Err(why) => failure(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    series: String,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    step_s: Option<i64>,
}

async fn history(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let (Some(history), Some(report)) = (app.history.clone(), app.hub.report()) else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "there is no history yet");
    };
    let from = asked.from.unwrap_or(report.state.today.start);
    let to = asked.to.unwrap_or(report.snapshot.at);
    let step_s = asked.step_s.unwrap_or(300);
    if !is_believable(from) || !is_believable(to) || !(1..=STEP_MAX_S).contains(&step_s) {
        let why = format!("`from` and `to` lie between 1970 and 2199, `step_s` between 1 and {STEP_MAX_S}");
        return failure(StatusCode::UNPROCESSABLE_ENTITY, &why);
    }
    let step = TimeDelta::seconds(step_s);
    let keys: Vec<String> = asked.series.split(',').map(str::to_owned).take(SERIES_MAX).collect();
    let read = move || {
        let mut all = BTreeMap::new();
        for key in keys {
            let points = history.read(&key, from, to, step)?;
            all.insert(key, points);
        }
        Ok::<_, String>(all)
    };
    match blocking(read).await {
        Ok(all) => Json(json!({"from": from, "to": to, "step_s": step.num_seconds(), "series": all})).into_response(),
        Err(why) => failure(StatusCode::UNPROCESSABLE_ENTITY, &why),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
}

async fn live(State(app): State<App>) -> Response {
    if app.hub.listeners() >= LISTENERS_MAX {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "too many pages listen already");
    }
    let keep = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events(app.hub.clone())).keep_alive(keep).into_response()
}

struct Listener {
    hub: Arc<Hub>,
    events: watch::Receiver<Option<Event>>,
    shown_plan: Option<u64>,
    waiting: Option<sse::Event>,
}

/// `now` with each cycle the listener is fast enough for, `plan` after it whenever that changed.
fn events(hub: Arc<Hub>) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    let listener = Listener {
        events: hub.listen(),
        hub,
        shown_plan: None,
        waiting: None,
    };
    stream::unfold(listener, |mut l| async move {
        if let Some(event) = l.waiting.take() {
            return Some((Ok(event), l));
        }
        l.events.changed().await.ok()?;
        let event = l.events.borrow_and_update().clone()?;
        if event.plan_id != l.shown_plan {
            l.shown_plan = event.plan_id;
            l.waiting = l.hub.plan().map(|text| sse::Event::default().event("plan").data(text));
        }
        Some((Ok(sse::Event::default().event("now").data(&*event.now)), l))
    })
}

fn end_override(body: &EndOverride) -> PeopleInput {
    PeopleInput::EndOverride {
        component: Id::new(&body.component),
    }
}

/// Reads a body, checks the token, tells the cycle, and gives its answer.
async fn said<T: for<'a> Deserialize<'a>>(
    State(app): State<App>,
    headers: HeaderMap,
    body: String,
    input: impl FnOnce(T, &Hub, Timestamp) -> Result<PeopleInput, String>,
) -> Response {
    if !guard::has_token(&app.hub, &headers) {
        return failure(
            StatusCode::UNAUTHORIZED,
            "changes need the site's token: it stands in api.json of the state folder",
        );
    }
    let Some(report) = app.hub.report() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not over yet");
    };
    let parsed = serde_json::from_str(&body).map_err(|e| format!("the body is not what is expected here: {e}"));
    match parsed.and_then(|b| input(b, &app.hub, report.snapshot.at)) {
        Ok(input) => tell(&app, input).await,
        Err(why) => failure(StatusCode::UNPROCESSABLE_ENTITY, &why),
    }
}

async fn tell(app: &App, input: PeopleInput) -> Response {
    let (answer, heard) = oneshot::channel();
    if app.inbox.try_send((input, answer)).is_err() {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "too much was said at once; try again");
    }
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(Ok(Ok(done))) => Json(json!({"done": done})).into_response(),
        Ok(Ok(Err(NotDone::Refused(why)))) => failure(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Ok(Ok(Err(NotDone::NotKept(why)))) => failure(
            StatusCode::INSUFFICIENT_STORAGE,
            &format!("in force now, but not kept over a restart: {why}"),
        ),
        _ => failure(StatusCode::GATEWAY_TIMEOUT, "the control loop did not answer"),
    }
}
