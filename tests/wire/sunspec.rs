//! SunSpec against images that others made: registers encoded and values decoded by pysunspec2 stand in `tests/golden/sunspec`,
//! with the script that made them; what `madang read` says of them must be what pysunspec2 says. The other way round,
//! pysunspec2 reads and commands our twin.

use crate::support::{Process, python};
use chrono::TimeDelta;
use madang::cycle::FieldPort;
use madang::field::{Dial, Field, Options};
use madang::model::{CommandProof, DecisionId, Reason, ReasonCode, Setpoint, Target, WriteOutcome};
use madang::site::{Address, Device, Id, Kind, Mode, Site};
use madang::time::Timestamp;
use madang::units::Power;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MADANG: &str = env!("CARGO_BIN_EXE_madang");

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn golden(name: &str) -> Value {
    let file = root("tests/golden/sunspec").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Registers behind a unit id, as a device with nothing else has them; it takes every write.
struct Plain {
    base: u16,
    words: Mutex<Vec<u16>>,
    unit: u8,
    /// Refuses to read an ID together with its length.
    apart: Vec<u16>,
    /// Says nothing to reads of more than an ID and a length from here on.
    mute_from: Option<u16>,
    /// Addresses written, in order.
    written: Mutex<Vec<u16>>,
}

impl Plain {
    fn of(golden: &Value) -> Self {
        let words = golden["words"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w.as_u64().unwrap() as u16);
        Self {
            base: golden["base"].as_u64().unwrap() as u16,
            words: Mutex::new(words.collect()),
            unit: 1,
            apart: vec![],
            mute_from: None,
            written: Mutex::default(),
        }
    }

    /// `None`: it says nothing.
    fn answer(&self, pdu: &[u8]) -> Option<Vec<u8>> {
        let word = |i: usize| usize::from(u16::from_be_bytes([pdu[i], pdu[i + 1]]));
        let (addr, count) = (word(1), word(3));
        if pdu[0] == 16 {
            self.written.lock().unwrap().push(addr as u16);
            let at = addr - usize::from(self.base);
            for (i, held) in self.words.lock().unwrap()[at..at + count].iter_mut().enumerate() {
                *held = word(6 + 2 * i) as u16;
            }
            return Some(pdu[..5].to_vec());
        }
        if self.mute_from.is_some_and(|m| addr >= usize::from(m) && count > 2) {
            return None;
        }
        let apart = count > 1 && self.apart.iter().any(|a| usize::from(*a) == addr);
        let from = addr.checked_sub(usize::from(self.base));
        let held = self.words.lock().unwrap();
        let words = from
            .and_then(|f| held.get(f..f + count))
            .filter(|_| pdu[0] == 3 && !apart && count <= 125);
        Some(match words {
            Some(words) => {
                let bytes = words.iter().flat_map(|w| w.to_be_bytes());
                [vec![3, (count * 2) as u8], bytes.collect()].concat()
            }
            None => vec![pdu[0] | 0x80, 2],
        })
    }

    fn talk(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut header = [0; 7];
            stream.read_exact(&mut header)?;
            let mut pdu = vec![0; usize::from(header[5]) - 1];
            stream.read_exact(&mut pdu)?;
            // Nobody answers for other units, as on a bus; a gateway says so.
            let answer = if header[6] == self.unit {
                self.answer(&pdu)
            } else {
                Some(vec![pdu[0] | 0x80, 11])
            };
            let Some(answer) = answer else { continue };
            let mut frame = header[..5].to_vec();
            frame.push(answer.len() as u8 + 1);
            frame.push(header[6]);
            frame.extend(answer);
            stream.write_all(&frame)?;
        }
    }

    fn serve(self) -> u16 {
        Arc::new(self).listen()
    }

    fn listen(self: Arc<Self>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let plain = self.clone();
                std::thread::spawn(move || plain.talk(stream));
            }
        });
        port
    }
}

fn read(port: u16, profile: &str, unit: u8) -> (Option<i32>, Value, String) {
    let address = format!("tcp://127.0.0.1:{port}");
    let out = Command::new(MADANG)
        .args([
            "read",
            &address,
            "--profile",
            profile,
            "--unit",
            &unit.to_string(),
            "--json",
        ])
        .output()
        .unwrap();
    let report = serde_json::from_slice(&out.stdout).unwrap_or(Value::Null);
    (
        out.status.code(),
        report,
        String::from_utf8_lossy(&out.stderr).into_owned(),
    )
}

/// Values by name; null where there is none.
fn values(report: &Value) -> std::collections::BTreeMap<String, Value> {
    let points = report["points"].as_array().unwrap_or_else(|| panic!("{report}"));
    points
        .iter()
        .map(|p| (p["name"].as_str().unwrap().to_owned(), p["value"].clone()))
        .collect()
}

/// Our name, pysunspec2's, and the factor between.
type Row = (&'static str, &'static str, f64);

fn agrees(case: &str, report: &Value, golden: &Value, rows: &[Row]) {
    let ours = values(report);
    for (name, theirs, factor) in rows {
        let expected = golden["values"][theirs].as_f64();
        let shown = ours
            .get(*name)
            .unwrap_or_else(|| panic!("{case}: no {name} in {:?}", ours.keys()));
        match expected {
            Some(v) => {
                let near =
                    (shown.as_f64().unwrap_or(f64::NAN) - v * factor).abs() <= 1e-6 * (v * factor).abs().max(1.0);
                assert!(near, "{case}: {name} is {shown}, pysunspec2 says {v} (× {factor})");
            }
            None => assert!(
                shown.is_null(),
                "{case}: {name} is {shown}, pysunspec2 says not implemented"
            ),
        }
    }
}

const HYBRID: [Row; 24] = [
    ("active_power", "103[1].W", -1e-3),
    ("reactive_power", "103[1].VAr", -1e-3),
    ("apparent_power", "103[1].VA", 1e-3),
    ("current", "103[1].A", 1.0),
    ("voltage_l1", "103[1].PhVphA", 1.0),
    ("voltage_l12", "103[1].PPVphAB", 1.0),
    ("frequency", "103[1].Hz", 1.0),
    ("energy_export", "103[1].WH", 1e-3),
    ("cabinet_temp", "103[1].TmpCab", 1.0),
    ("rated_power", "120[1].WRtg", 1e-3),
    ("max_power", "121[1].WMax", 1e-3),
    ("energy_lifetime", "122[1].ActWh", 1e-3),
    ("active_power_limit", "123[1].WMaxLimPct", 1.0),
    ("soc", "124[1].ChaState", 1.0),
    ("discharge_rate", "124[1].OutWRte", 1.0),
    ("charge_rate", "124[1].InWRte", 1.0),
    ("max_charge", "124[1].WChaMax", 1e-3),
    ("mppt[1].dc_power", "160[1].module[1].DCW", 1e-3),
    ("mppt[1].dc_current", "160[1].module[1].DCA", 1.0),
    ("mppt[2].dc_power", "160[1].module[2].DCW", 1e-3),
    ("mppt[2].dc_energy", "160[1].module[2].DCWH", 1e-3),
    ("mppt[3].dc_power", "160[1].module[3].DCW", 1e-3),
    ("battery_power", "160[1].module[3].DCW", 1e-3),
    ("energy_charged", "160[1].module[3].DCWH", 1e-3),
];
const METERS: [Row; 8] = [
    ("active_power", "103[1].W", -1e-3),
    ("meter[1].active_power", "203[1].W", 1e-3),
    ("meter[1].voltage_l3", "203[1].PhVphC", 1.0),
    ("energy_import", "203[1].TotWhImp", 1e-3),
    ("meter[1].energy_export", "203[1].TotWhExp", 1e-3),
    ("meter[2].active_power", "201[1].W", 1e-3),
    ("meter[2].active_power_l1", "201[1].WphA", 1e-3),
    ("meter[2].energy_import", "201[1].TotWhImp", 1e-3),
];
const DER: [Row; 27] = [
    ("active_power", "701[1].W", -1e-3),
    ("active_power_l1", "701[1].WL1", -1e-3),
    ("active_power_l2", "701[1].WL2", -1e-3),
    ("current_l1", "701[1].AL1", 1.0),
    ("voltage_l3", "701[1].VL3", 1.0),
    ("frequency", "701[1].Hz", 1.0),
    ("power_factor", "701[1].PF", 1.0),
    ("energy_export", "701[1].TotWhInj", 1e-3),
    ("energy_import", "701[1].TotWhAbs", 1e-3),
    ("max_charge_rating", "702[1].WChaRteMaxRtg", 1e-3),
    ("active_power_setpoint", "704[1].WSet", -1e-3),
    ("active_power_setpoint_reversion", "704[1].WSetRvrtTms", 1.0),
    ("active_power_limit", "704[1].WMaxLimPct", 1.0),
    ("capacity", "713[1].WHRtg", 1e-3),
    ("energy_stored", "713[1].WHAvail", 1e-3),
    ("soc", "713[1].SoC", 1.0),
    ("soh", "713[1].SoH", 1.0),
    ("port[1].dc_power", "714[1].Prt[1].DCW", 1e-3),
    ("port[1].dc_energy_out", "714[1].Prt[1].DCWhInj", 1e-3),
    ("port[2].dc_current", "714[1].Prt[2].DCA", 1.0),
    ("device_heartbeat", "715[1].DERHb", 1.0),
    ("battery_power", "802[1].W", -1e-3),
    ("battery_voltage", "802[1].V", 1.0),
    ("string[2].soc", "803[1].string[2].StrSoC", 1.0),
    ("string[1].cell_voltage_max", "803[1].string[1].StrCellVMax", 1.0),
    (
        "battery_string[1].module[2].soc",
        "804[1].lithium_ion_string_module[2].ModSoC",
        1.0,
    ),
    (
        "battery_string[1].module[1].temp_max",
        "804[1].lithium_ion_string_module[1].ModCellTmpMax",
        1.0,
    ),
];
const FLOATS: [Row; 7] = [
    ("active_power", "113[1].W", -1e-3),
    ("frequency", "113[1].Hz", 1.0),
    ("voltage_l1", "113[1].PhVphA", 1.0),
    ("energy_export", "113[1].WH", 1e-3),
    ("meter[1].active_power", "213[1].W", 1e-3),
    ("active_power_l1", "213[1].WphA", 1e-3),
    ("energy_import", "213[1].TotWhImp", 1e-3),
];

#[test]
fn golden_images_are_read_as_pysunspec2_reads_them() {
    let cases: [(&str, &[Row]); 4] = [
        ("hybrid", &HYBRID),
        ("meters-behind", &METERS),
        ("der", &DER),
        ("floats", &FLOATS),
    ];
    for (case, rows) in cases {
        let golden = golden(case);
        let port = Plain::of(&golden).serve();
        let (code, report, why) = read(port, "sunspec", 1);
        assert_eq!(code, Some(0), "{case}: {why}");
        agrees(case, &report, &golden, rows);
        assert_eq!(report["identity"]["manufacturer"], "Peer");
        assert_eq!(report["identity"]["serial"], "0042");
    }
}

#[test]
fn a_map_whose_ids_and_lengths_must_be_read_apart_is_found() {
    let golden = golden("hybrid");
    let mut plain = Plain::of(&golden);
    let mut at = 2;
    let words = plain.words.get_mut().unwrap();
    while at < words.len() {
        plain.apart.push(plain.base + at as u16);
        at += 2 + usize::from(words[at + 1]);
    }
    assert!(plain.apart.len() > 8);
    let (code, report, why) = read(plain.serve(), "sunspec", 1);
    assert_eq!(code, Some(0), "{why}");
    agrees("apart", &report, &golden, &HYBRID);
}

#[test]
fn lengths_that_cannot_be_end_the_map_and_leave_what_came_before() {
    let golden = golden("hybrid");
    let mut plain = Plain::of(&golden);
    // The length of model 120, and with it all that follows, is nonsense.
    let (at, words) = (2 + 68 + 52, plain.words.get_mut().unwrap());
    assert_eq!(words[at], 120);
    words[at + 1] = 0xFFF0;
    let (code, report, why) = read(plain.serve(), "sunspec", 1);
    assert_eq!(code, Some(0), "{why}");
    agrees("nonsense", &report, &golden, &HYBRID[..6]);
}

#[test]
fn the_golden_images_are_what_pysunspec2_makes() {
    let Some(python) = python() else { return };
    let out = Command::new(python)
        .arg(root("tests/peers/golden_sunspec.py"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let made: Value = serde_json::from_slice(&out.stdout).unwrap();
    for (name, document) in made.as_object().unwrap() {
        assert_eq!(*document, golden(name), "{name}");
    }
}

/// A line of the layout without the mandatory flag, but for counters.
fn held(line: &str) -> String {
    let (start, _) = line.rsplit_once(' ').unwrap();
    if line.contains(" acc") {
        line.to_owned()
    } else {
        start.to_owned()
    }
}

/// Our tables, as pysunspec2's definitions would be listed: model, point, offset, type, size, scale factor, access, mandatory.
fn our_layout() -> Vec<String> {
    let text = std::fs::read_to_string(root("src/profile/sunspec/models.txt")).unwrap();
    let (mut all, mut ids, mut offset, mut star) = (vec![], vec![], 0, "");
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let w: Vec<&str> = line.split_whitespace().collect();
        match w[0] {
            "model" => (ids, offset, star) = (w[1..w.len() - 2].to_vec(), 2, ""),
            "group" => (offset, star) = (0, "*"),
            name => {
                let (kind, size) = w[1].split_once(':').map_or((w[1], None), |(k, s)| (k, s.parse().ok()));
                let size: usize = size.unwrap_or(match kind {
                    k if k.ends_with("64") => 4,
                    k if k.ends_with("32") => 2,
                    _ => 1,
                });
                let access = if name.ends_with('*') { "RW" } else { "R" };
                let mandatory = if name.contains('!') { "M" } else { "-" };
                let name = name.trim_end_matches(['!', '*']);
                let sf = w.get(2).copied().unwrap_or("-");
                all.extend(
                    ids.iter()
                        .map(|id| format!("{id} {star}{name} {offset} {kind} {size} {sf} {access} {mandatory}")),
                );
                offset += size;
            }
        }
    }
    all
}

#[test]
fn our_tables_have_the_offsets_types_scale_factors_and_writable_points_of_pysunspec2() {
    let Some(python) = python() else { return };
    let out = Command::new(python)
        .args([root("tests/peers/golden_sunspec.py").to_str().unwrap(), "layout"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // 201 names three voltages otherwise; whether a point must be there matters for counters, whose zero it explains.
    let name = |l: &str| held(&l.replace("201 PPVph", "201 PhVph"));
    let theirs: std::collections::BTreeSet<String> = String::from_utf8_lossy(&out.stdout).lines().map(name).collect();
    let ours: Vec<String> = our_layout().iter().map(|l| held(l)).collect();
    assert!(ours.len() > 1200, "{}", ours.len());
    let strange: Vec<&String> = ours.iter().filter(|l| !theirs.contains(*l)).collect();
    assert!(strange.is_empty(), "pysunspec2 does not know {strange:#?}");
}

/// A lone twin device; its port.
fn lone(profile: &str, extra: &[&str]) -> (Process, u16, Value) {
    let mut command = Command::new(MADANG);
    command
        .args(["twin", "--profile", profile, "--listen", "127.0.0.1:0", "--json"])
        .args(extra)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = Process::start(&mut command);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let list: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{profile}: {e}: {line}"));
    let address = list["devices"][0]["address"].as_str().unwrap().to_owned();
    (process, address.rsplit(':').next().unwrap().parse().unwrap(), list)
}

/// Runs steps of `control_sunspec.py`, one JSON line each.
fn control(python: &Path, port: u16, unit: u8, steps: &[&str]) -> Vec<Value> {
    let out = Command::new(python)
        .arg(root("tests/peers/control_sunspec.py"))
        .args([port.to_string(), unit.to_string()])
        .args(steps)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn pysunspec2_limits_and_commands_our_twin_and_sees_it_obey_and_revert() {
    let Some(python) = python() else { return };
    let (_twin, port, _) = lone("sunspec", &["--speed", "60"]);
    // A limit to nothing for four minutes of the twin's time; then it is lifted by itself.
    let shown = control(
        &python,
        port,
        1,
        &[
            "limit=0,240",
            "wait=1",
            "show=103.W,123.WMaxLim_Ena",
            "until=123.WMaxLim_Ena,0",
            "show=123.WMaxLim_Ena",
        ],
    );
    assert_eq!(shown[0]["123.WMaxLim_Ena"], 1);
    assert_eq!(shown[1]["123.WMaxLim_Ena"], 0, "the reversion time has passed");
    let shown = control(
        &python,
        port,
        1,
        &["rates=-40,100,2,600", "wait=1", "show=160.3.DCW,124.StorCtl_Mod"],
    );
    assert!(
        (shown[0]["160.3.DCW"].as_f64().unwrap() - 2_000.0).abs() < 60.0,
        "40 % of 5 kW: {shown:?}"
    );

    let mut command = Command::new(MADANG);
    command
        .args([
            "twin",
            "apartment-seoul",
            "--free-ports",
            "--component",
            "battery",
            "--listen",
            "127.0.0.1",
            "--speed",
            "60",
            "--json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = Process::start(&mut command);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let list: Value = serde_json::from_str(&line).unwrap();
    let device = &list["devices"][0];
    let port = device["address"]
        .as_str()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let unit = device["unit_id"].as_u64().unwrap() as u8;
    // Charging at 10 kW with a fall-back to 2 kW after four minutes of the twin's time.
    let steps = [
        "wset=-10000,-2000,240",
        "wait=1",
        "show=701.W,704.WSetRvrtRem",
        "until=704.WSet,-2000",
        "wait=1",
        "show=701.W,704.WSet,704.WSetRvrtRem",
    ];
    let shown = control(&python, port, unit, &steps);
    assert!(
        (shown[0]["701.W"].as_f64().unwrap() + 10_000.0).abs() < 200.0,
        "{shown:?}"
    );
    assert!(
        (1..240).contains(&shown[0]["704.WSetRvrtRem"].as_i64().unwrap()),
        "{shown:?}"
    );
    assert_eq!(shown[1]["704.WSet"].as_f64(), Some(-2_000.0), "{shown:?}");
    assert!(
        (shown[1]["701.W"].as_f64().unwrap() + 2_000.0).abs() < 200.0,
        "{shown:?}"
    );
}

/// The field of a site over sockets, in no hurry to call a device silent.
fn field_of(site: &Site) -> Field {
    let options = Options {
        patience: Duration::from_secs(5),
        silent_after: TimeDelta::hours(1),
    };
    Field::new(site, &Dial::Sockets, options).unwrap()
}

/// A power of the battery for a minute.
fn told(now: Timestamp, cycle: i64, kw: f64) -> Setpoint {
    Setpoint {
        component: Id::new("battery"),
        target: Target::Power(Power::kw(kw)),
        valid_until: now + TimeDelta::seconds(60),
        reason: Reason::new(ReasonCode::FollowPlan),
        decision: DecisionId(cycle as u64),
    }
}

/// Tells the battery of a lone twin a power, made from what it does by itself at this time of day, for 20 cycles of ten seconds
/// (of the controller's time): what failed and what was written then, and how the command stands at the end.
async fn obeyed(extra: &[&str], wish: fn(f64) -> f64) -> (Vec<(String, usize)>, Option<CommandProof>) {
    let (_twin, port, _) = lone("sunspec", extra);
    let mut site = madang::site::builtin("home-amsterdam").unwrap();
    site.plant.mode = Mode::Control;
    site.wiring.devices.retain(|id, _| id.as_str() == "inverter");
    let device = site.wiring.devices.get_mut(&Id::new("inverter")).unwrap();
    device.address = Address::parse(&format!("tcp://127.0.0.1:{port}")).unwrap();
    let mut field = field_of(&site);
    let (mut failed, mut proof) = (Vec::new(), None);
    let mut kw = None;
    for cycle in 0..20 {
        let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(10 * cycle);
        let scan = field.scan(now).await;
        proof = scan.devices[0].commands.first().map(|c| c.proof.clone());
        let mut powers = scan
            .measurements
            .iter()
            .filter(|m| (m.component.as_str(), m.quantity) == ("battery", madang::model::Quantity::ActivePower));
        let own = powers.next().and_then(|m| m.reading.usable());
        let kw = *kw.get_or_insert_with(|| wish(own.unwrap()));
        let setpoint = told(now, cycle, kw);
        for r in field.apply(now, &[setpoint]).await {
            if let WriteOutcome::Failed(why) = r.outcome {
                failed.push((why, r.writes.len()));
            }
        }
    }
    (failed, proof)
}

#[tokio::test]
async fn a_battery_that_holds_its_command_and_does_not_obey_is_found_out_and_given_back() {
    let (failed, proof) = obeyed(&[], |_| -3.0).await;
    assert_eq!(
        (failed, proof),
        (vec![], Some(CommandProof::Verified)),
        "one that obeys"
    );
    // What never obeyed was told a tenth of its rating first, never the whole. It is told the opposite of what its own control
    // does, which else might pass for obedience; where the sun limits an inverter's output, a discharge is no proof.
    let against: fn(f64) -> f64 = |own| if own < 0.0 { 3.0 } else { -3.0 };
    for (fault, wish, said) in [
        ("battery:unobeyed", against, &["told 0.50 kW", "told -0.50 kW"][..]),
        ("battery:clipped=40%", |_| 3.0, &["told 3.00 kW"]),
    ] {
        let (failed, proof) = obeyed(&["--fault", fault], wish).await;
        let [(why, writes)] = &failed[..] else {
            panic!("{fault}: {failed:?}")
        };
        assert!(why.contains("does not obey"), "{fault}: {why}");
        assert!(said.iter().any(|t| why.contains(t)), "{fault}: {why}");
        // The mode and the rates.
        assert_eq!(*writes, 2, "{fault}: it is given back");
        assert!(
            matches!(proof, Some(CommandProof::Failed(_))),
            "{fault}: {proof:?} is shown until it obeys"
        );
    }
}

#[tokio::test]
async fn a_device_that_hides_a_block_hears_the_heartbeat_all_the_same() {
    /// ControllerHb of the image's model 715.
    const CONTROLLER_HB: u16 = 50_423 + 5;
    let mut plain = Plain::of(&golden("der"));
    // It says nothing of its battery modules (model 804).
    plain.mute_from = Some(50_588);
    let plain = Arc::new(plain);
    let port = plain.clone().listen();
    let mut site = madang::site::builtin("apartment-seoul").unwrap();
    site.plant.mode = Mode::Control;
    // As the image says it is rated: a battery of another size is not commanded.
    if let Some(Kind::Battery(b)) = site.plant.components.get_mut("battery").map(|c| &mut c.kind) {
        (b.charge_max, b.discharge_max) = (Power::kw(5.0), Power::kw(4.5));
    }
    let feeds = |d: &Device| d.components.contains(&Id::new("battery"));
    site.wiring.devices.retain(|_, d| feeds(d));
    let device = site.wiring.devices.values_mut().next().unwrap();
    device.address = Address::parse(&format!("tcp://127.0.0.1:{port}")).unwrap();
    device.unit = 1;
    let mut field = field_of(&site);
    let mut beats = Vec::new();
    for cycle in 0..5 {
        let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(cycle);
        field.scan(now).await;
        let setpoint = told(now, cycle, -3.0);
        field.apply(now, &[setpoint]).await;
        let written = plain.written.lock().unwrap();
        beats.push(written.iter().filter(|a| **a == CONTROLLER_HB).count());
    }
    assert_eq!(beats, [0, 1, 2, 3, 4], "{:?}", plain.written.lock().unwrap());
}

#[test]
fn every_built_in_profile_is_served_alone_and_read_by_its_name() {
    let out = Command::new(MADANG).args(["devices", "--json"]).output().unwrap();
    let profiles: Value = serde_json::from_slice(&out.stdout).unwrap();
    for profile in profiles.as_array().unwrap() {
        let name = profile["profile"].as_str().unwrap();
        let (_twin, _, list) = lone(name, &[]);
        let device = &list["devices"][0];
        let out = Command::new(MADANG)
            .args(["read", device["address"].as_str().unwrap(), "--profile", name, "--json"])
            .args(["--unit", &device["unit_id"].to_string()])
            .output()
            .unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        let report: Value = serde_json::from_slice(&out.stdout).unwrap();
        let points = report["points"].as_array().unwrap();
        assert!(!points.is_empty(), "{name}");
        let good = points.iter().filter(|p| p["quality"] == "good").count();
        assert!(
            2 * good >= points.len(),
            "{name}: only {good} of {} points are good: {report}",
            points.len()
        );
    }
}

#[test]
fn faults_are_listed_by_help_and_wrong_ones_are_explained() {
    let help = Command::new(MADANG).args(["twin", "--help"]).output().unwrap();
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for kind in ["sentinel=40s", "foreign=10min", "unobeyed", "rescale=5min", "busy=30s"] {
        assert!(text.contains(kind), "{kind}");
    }
    let out = Command::new(MADANG)
        .args(["twin", "--profile", "sunspec", "--fault", "battery:lazy"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("`lazy` is no fault"));
}
