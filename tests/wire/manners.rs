//! How a peer wants to be treated, against real sockets: a pause after connecting, a gap between requests, ids that a gateway
//! does not give back, a unit that answers under another number.

use crate::support::meter::{Meter, listen, options, site_of, start};
use madang::cycle::FieldPort;
use madang::field::{Dial, Field};
use madang::model::Quantity;
use madang::site::{Id, Site};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What this peer does that others do not.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Peer {
    Plain,
    /// Loses what comes within 300 ms of the connection.
    DeafAtFirst,
    /// Loses a request that comes within 80 ms of the answer before.
    NeedsAGap,
    /// Says nothing about its energy, not even that it has none.
    IgnoresEnergy,
    /// Gives back transaction id 0 whatever was asked.
    ForgetsIds,
    /// Answers as unit 7 whoever was asked.
    OtherUnit,
}

const DEAF: Duration = Duration::from_millis(300);
const GAP: Duration = Duration::from_millis(80);

async fn serve(meter: Arc<Meter<Peer>>, lost: Arc<Mutex<u32>>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (connected, mut answered) = (Instant::now(), None::<Instant>);
    loop {
        let mut head = [0u8; 7];
        stream.read_exact(&mut head).await?;
        let mut pdu = vec![0u8; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        stream.read_exact(&mut pdu).await?;
        let deaf = match meter.fault {
            Peer::DeafAtFirst => connected.elapsed() < DEAF,
            Peer::NeedsAGap => answered.is_some_and(|t| t.elapsed() < GAP),
            Peer::IgnoresEnergy => pdu[1..3] == 2000u16.to_be_bytes(),
            _ => false,
        };
        if deaf {
            *lost.lock().unwrap() += 1;
            continue;
        }
        let (addr, count) = (
            u16::from_be_bytes([pdu[1], pdu[2]]),
            u16::from_be_bytes([pdu[3], pdu[4]]),
        );
        let words = meter.words(addr, count);
        let mut answer = head.to_vec();
        if meter.fault == Peer::ForgetsIds {
            answer[..2].fill(0);
        }
        if meter.fault == Peer::OtherUnit {
            answer[6] = 7;
        }
        answer[4..6].copy_from_slice(&(words.len() as u16 + 3).to_be_bytes());
        answer.extend([pdu[0], words.len() as u8]);
        answer.extend(words);
        stream.write_all(&answer).await?;
        answered = Some(Instant::now());
    }
}

/// A home whose meter is described by a profile of its own: `link` is its `[link]`.
fn site(port: u16, folder: &std::path::Path, link: &str) -> Site {
    let own = folder.join("profiles");
    std::fs::create_dir_all(&own).unwrap();
    let text = format!(
        "schema = \"profile/1\"\nid = \"own-meter\"\nkind = \"meter\"\nmodels = [\"A meter\"]\nconfidence = \"B\"\nsources = [\"its maker\"]\n\
         blocks = [\n  {{ name = \"power\", table = \"input\", addr = 52, count = 2, every = \"fast\" }},\n  \
         {{ name = \"energy\", table = \"input\", addr = 2000, count = 2, every = \"fast\" }},\n]\n\
         points = [\n  {{ name = \"active_power\", addr = 52, scale = 0.001, unit = \"kW\" }},\n  \
         {{ name = \"energy_import\", addr = 2000, unit = \"kWh\" }},\n]\n\n\
         [link]\ntransport = [\"tcp\"]\nunit = 1\n{link}\n\n[defaults]\ntable = \"input\"\ntype = \"f32\"\n"
    );
    std::fs::write(own.join("own-meter.toml"), text).unwrap();
    let mut site = site_of("meter", "own-meter", &format!("tcp://127.0.0.1:{port}"));
    site.folder = Some(folder.to_owned());
    site
}

/// Whether the meter's power was read within 40 cycles, requests the peer lost meanwhile, and what people are told.
async fn read(peer: Peer, link: &str) -> (bool, u32, String) {
    let (meter, lost) = (Meter::new(peer), Arc::new(Mutex::new(0)));
    let (served, losing) = (meter.clone(), lost.clone());
    let port = listen(move |stream| serve(served.clone(), losing.clone(), stream)).await;
    let folder = tempfile::tempdir().unwrap();
    let site = site(port, folder.path(), link);
    let mut field = Field::new(&site, &Dial::Sockets, options()).unwrap();
    let (mut seen, mut trouble) = (0, String::new());
    for cycle in 0..40u32 {
        let scan = field.scan(start() + chrono::TimeDelta::seconds(i64::from(cycle))).await;
        let power = scan.measurements.iter().any(|m| {
            m.component == Id::new("grid") && m.quantity == Quantity::ActivePower && m.reading.usable() == Some(1.0)
        });
        seen += u32::from(power);
        trouble = scan.devices[0].trouble.clone().unwrap_or_default();
        if seen == 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let lost = *lost.lock().unwrap();
    (seen > 0, lost, trouble)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_is_treated_as_its_profile_says_and_suffers_where_it_does_not() {
    // peer, its link, whether its power is read, whether requests were lost, what is told
    let rows = [
        (Peer::Plain, "", true, false, ""),
        (Peer::DeafAtFirst, "connect_delay_ms = 350", true, false, ""),
        (Peer::DeafAtFirst, "", true, true, ""),
        (Peer::NeedsAGap, "gap_ms = 100", true, false, ""),
        (
            Peer::NeedsAGap,
            "",
            true,
            true,
            "it answers nothing for registers 2000 to 2001",
        ),
        (
            Peer::IgnoresEnergy,
            "",
            true,
            true,
            "it answers nothing for registers 2000 to 2001",
        ),
        (Peer::ForgetsIds, "echo_tid = false", true, false, ""),
        (Peer::ForgetsIds, "", false, false, "no answer"),
        (Peer::OtherUnit, "unit_accept = [7]", true, false, ""),
        (Peer::OtherUnit, "", false, false, "no answer"),
    ];
    let mut running = tokio::task::JoinSet::new();
    for (peer, link, works, loses, told) in rows {
        running.spawn(async move {
            let (works_indeed, lost, trouble) = read(peer, link).await;
            let what = format!("{peer:?} with `{link}`: {lost} lost, told `{trouble}`");
            assert_eq!(works_indeed, works, "{what}");
            assert_eq!(lost > 0, loses, "{what}");
            assert!(
                trouble.contains(told) && told.is_empty() == trouble.is_empty(),
                "{what}"
            );
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
