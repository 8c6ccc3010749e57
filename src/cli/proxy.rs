//! `madang proxy`: lets several masters share a device that serves one client.

use super::service::told_to_stop;
use super::{BAD, DONE, UNREACHABLE, USAGE};
use crate::field::{Allowed, ProxyRules, Upstream, recorder, serve_proxy, transport, upstream};
use crate::profile::trace::{Head, Trace};
use crate::profile::{Link, Profile};
use crate::site::Address;
use crate::time::{Clock, SystemClock};
use crate::units::parse_duration;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A Modbus TCP server in front of one device: other masters read through one connection; writes are refused.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang proxy tcp://192.168.1.30:502 --listen 127.0.0.1:5020\n  madang proxy rtu:///dev/ttyUSB0?baud=9600 --listen 0.0.0.0:5020 --max-age 2s\n  madang proxy tcp://192.168.1.30:502 --allow-writes 1:40232-40240\n\n\
                  A write is answered with exception 1 unless all its registers are allowed; a device that does not answer with 11,\n\
                  one that cannot be reached with 10. Runs until Ctrl-C."
)]
pub struct Args {
    /// The device: tcp://host:port, tls://host:port, rtu+tcp://host:port or rtu:///dev/ttyUSB0?baud=9600
    address: String,
    #[command(flatten)]
    tls: super::tls::Files,
    /// Where other masters connect; on another address than loopback everybody there may read the device
    #[arg(long, default_value = "127.0.0.1:5020")]
    listen: String,
    /// Registers that other masters may write, UNIT:ADDR-ADDR (addresses as on the wire, from 0); repeatable
    #[arg(long, value_name = "UNIT:ADDR-ADDR")]
    allow_writes: Vec<String>,
    /// Answers younger than this are given again without asking the device
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// Masters at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,
    /// Profile whose link behaviour (timeout, gaps, connect delay) the device needs
    #[arg(long)]
    profile: Option<String>,
    /// Also records all traffic into this trace file, written at the end
    #[arg(long)]
    record: Option<PathBuf>,
}

pub fn run(args: Args) -> ExitCode {
    let code = match work(&args) {
        Ok(()) => DONE,
        Err((code, why)) => {
            eprintln!("{why}");
            code
        }
    };
    ExitCode::from(code)
}

fn work(args: &Args) -> Result<(), (u8, String)> {
    let address = args.tls.address(&args.address).map_err(|why| (USAGE, why))?;
    let profile = args.profile.as_deref().map(super::read::find).transpose()?;
    let rules = rules(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let done = runtime.block_on(serve(args, address, profile.as_ref(), rules));
    runtime.shutdown_background();
    done
}

fn rules(args: &Args) -> Result<ProxyRules, (u8, String)> {
    let allow = |t: &String| Allowed::parse(t).map_err(|why| (USAGE, format!("--allow-writes: {why}")));
    let writes = args.allow_writes.iter().map(allow).collect::<Result<_, _>>()?;
    let age = |t: &String| {
        let span = parse_duration(t).map_err(|e| e.to_string());
        span.and_then(|s| s.to_std().map_err(|e| e.to_string()))
    };
    let max_age = args.max_age.as_ref().map(age).transpose();
    Ok(ProxyRules {
        writes,
        max_age: max_age.map_err(|why| (USAGE, format!("--max-age: {why}")))?,
        most_clients: usize::from(args.clients),
    })
}

async fn serve(
    args: &Args,
    address: Address,
    profile: Option<&Profile>,
    rules: ProxyRules,
) -> Result<(), (u8, String)> {
    let listen = &args.listen;
    let bound = TcpListener::bind(listen.as_str()).await;
    let listener = bound.map_err(|e| (UNREACHABLE, format!("cannot listen on {listen}: {e}")))?;
    let local = listener.local_addr().map_err(|e| (UNREACHABLE, e.to_string()))?;
    if !local.ip().is_loopback() {
        eprintln!("warning: whoever reaches {local} may read the device");
    }
    for a in &rules.writes {
        eprintln!(
            "warning: other masters may write registers {} to {} of unit {}",
            a.from, a.to, a.unit
        );
    }
    let (tap, seen) = recorder();
    let link = profile.map_or_else(plain, |p| Ok(p.link.clone()))?;
    let tap = args.record.is_some().then_some(tap);
    let device: Upstream = upstream(address.clone(), link, rules.max_age, tap);
    let mut told = told_to_stop().map_err(|why| (UNREACHABLE, why))?;
    println!("{address} is served on {local}; Ctrl-C stops");
    tokio::select! {
        biased;
        _ = told.changed() => {}
        () = serve_proxy(listener, device, Arc::new(rules)) => {}
    }
    let Some(path) = &args.record else { return Ok(()) };
    let exchanges = std::mem::take(&mut *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let unit = exchanges.first().map_or(1, |e| e.unit);
    let name = profile.map_or("unknown", |p| p.id.as_str());
    let head = Head::new(transport(&address), unit, name, SystemClock.now().to_rfc3339());
    let trace = Trace { head, exchanges };
    let text = trace.text().map_err(|why| (BAD, why))?;
    std::fs::write(path, text).map_err(|e| (BAD, format!("cannot write {}: {e}", path.display())))
}

/// Behaviour of a device nobody knows anything about.
fn plain() -> Result<Link, (u8, String)> {
    let text = "transport = [\"tcp\"]\nmax_clients = 1\ntimeout_ms = 2000";
    toml::from_str(text).map_err(|e| (BAD, e.to_string()))
}
