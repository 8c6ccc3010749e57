//! Finds the chain of models. Devices differ: other bases, a refused end, lengths that cannot be, a common model of 65 or 66
//! registers, id and length that must be read apart, another unit id than the usual one.

use super::image::Discovered;
use super::tables::layout;
use super::{Identity, Model};
use crate::field::client::{Client, WireError};
use crate::profile::{Quirks, Table};

const BASES: [u16; 3] = [40_000, 50_000, 0];
const MOST_MODELS: usize = 64;
const MAGIC: [u16; 2] = [0x5375, 0x6E53];
/// Registers of the common model that are read: manufacturer, model, options, version, serial number.
const COMMON: u16 = 64;
/// A request of the discovery is asked this often before silence counts: a map cut short by one lost answer would lose models.
const TRIES: u32 = 3;

/// Finds the models, reads the identity, lays out what to read in requests of at most `most` registers.
pub async fn discover(client: &mut Client, unit: u8, quirks: &Quirks, most: u16) -> Result<Discovered, WireError> {
    let asked = unit;
    let (unit, base) = start(client, asked, quirks).await?;
    let mut models = chain(client, unit, base).await?;
    if models.is_empty() {
        return Err(WireError::Wrong("a SunSpec marker without models".into()));
    }
    let identity = identity(client, &models).await?;
    if let Some(other) = quirks.meter_unit.filter(|u| *u != unit) {
        models.extend(behind(client, other, quirks).await?);
    }
    for m in &mut models {
        m.via = (m.unit != asked).then_some(m.unit);
    }
    Ok(Discovered::new(asked, models, identity, quirks.clone(), most))
}

/// Models of another unit id; none where nobody answers there.
async fn behind(client: &mut Client, unit: u8, quirks: &Quirks) -> Result<Vec<Model>, WireError> {
    let found = match base(client, unit, quirks).await {
        Ok(base) => chain(client, unit, base).await,
        Err(error) => Err(error),
    };
    match found {
        Err(error @ (WireError::Unreachable(_) | WireError::Lost(_))) => Err(error),
        other => Ok(other.unwrap_or_default()),
    }
}

/// Where the marker is: on the unit asked, else on one that the profile names (SMA answers SunSpec on its id + 123).
async fn start(client: &mut Client, unit: u8, quirks: &Quirks) -> Result<(u8, u16), WireError> {
    let first = match base(client, unit, quirks).await {
        Ok(base) => return Ok((unit, base)),
        Err(error @ (WireError::Unreachable(_) | WireError::Lost(_))) => return Err(error),
        Err(error) => error,
    };
    for other in quirks.probe_units.iter().filter(|u| **u != unit) {
        if let Ok(base) = base(client, *other, quirks).await {
            return Ok((*other, base));
        }
    }
    Err(first)
}

async fn base(client: &mut Client, unit: u8, quirks: &Quirks) -> Result<u16, WireError> {
    let named = if quirks.bases.is_empty() {
        &BASES[..]
    } else {
        &quirks.bases
    };
    let list: Vec<String> = named.iter().map(u16::to_string).collect();
    let mut last = WireError::Wrong(format!("no SunSpec marker at {}", list.join(", ")));
    for base in named {
        match ask(client, unit, *base, 2).await {
            Ok(words) if words == MAGIC => return Ok(*base),
            Ok(_) => {}
            Err(error) if error.is_refusal() => {}
            Err(error @ (WireError::Unreachable(_) | WireError::Timeout(_) | WireError::Lost(_))) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One read; silence is asked again.
async fn ask(client: &mut Client, unit: u8, addr: u16, count: u16) -> Result<Vec<u16>, WireError> {
    for _ in 1..TRIES {
        match client.read(unit, Table::Holding, addr, count).await {
            Err(WireError::Timeout(_)) => {}
            answer => return answer,
        }
    }
    client.read(unit, Table::Holding, addr, count).await
}

/// The chain after the marker; a device without an end model ends with a refusal or silence after its last.
async fn chain(client: &mut Client, unit: u8, base: u16) -> Result<Vec<Model>, WireError> {
    let (mut found, mut addr) = (Vec::new(), base.checked_add(2));
    while let Some(at) = addr.filter(|_| found.len() < MOST_MODELS) {
        let Some((id, len)) = next(client, unit, at, found.is_empty()).await? else {
            break;
        };
        let mut model = Model {
            unit,
            via: None,
            id,
            addr: at,
            len,
            repeats: 0,
        };
        addr = at.checked_add(2).and_then(|a| a.checked_add(len));
        if addr.is_none() {
            // It would reach past the last register there can be: its length is wrong, and so is whatever follows.
            break;
        }
        if found.is_empty() && id == 1 && len < COMMON {
            return Err(WireError::Wrong(short_common(at, len)));
        }
        model.repeats = repeats(client, &model).await?;
        found.push(model);
    }
    Ok(found)
}

/// ID and length at an address; `None` at the end of the chain.
async fn next(client: &mut Client, unit: u8, addr: u16, first: bool) -> Result<Option<(u16, u16)>, WireError> {
    let end = |id: u16| id == 0xFFFF || id == 0;
    match ask(client, unit, addr, 2).await {
        Ok(words) if end(words[0]) => return Ok(None),
        Ok(words) => return Ok(Some((words[0], words[1]))),
        Err(error) if error.is_refusal() => {}
        Err(WireError::Timeout(_)) if !first => return Ok(None),
        Err(error) => return Err(error),
    }
    // Some give no length for the end model, some let nothing be read together.
    let id = match ask(client, unit, addr, 1).await {
        Ok(words) => words[0],
        Err(error) if error.is_refusal() && !first => return Ok(None),
        Err(error) => return Err(error),
    };
    match addr.checked_add(1).filter(|_| !end(id)) {
        Some(at) => Ok(Some((id, ask(client, unit, at, 1).await?[0]))),
        None => Ok(None),
    }
}

/// How often the repeating part is there: what the count says, and no more than the length holds.
async fn repeats(client: &mut Client, m: &Model) -> Result<u16, WireError> {
    let Some(group) = layout(m.id).and_then(|l| l.group.as_ref()) else {
        return Ok(0);
    };
    let room = (m.len + 2).saturating_sub(group.start) / group.size.max(1);
    let count = layout(m.id).and_then(|l| l.point(group.count));
    let Some(at) = count
        .filter(|d| m.holds(d.offset, 1))
        .and_then(|d| m.addr.checked_add(d.offset))
    else {
        return Ok(0);
    };
    match ask(client, m.unit, at, 1).await {
        // Without a count the length says it.
        Ok(words) if words[0] == 0xFFFF => Ok(room),
        Ok(words) => Ok(words[0].min(room)),
        Err(error) if error.is_refusal() => Ok(room),
        Err(error) => Err(error),
    }
}

/// Where such a model ends nobody knows: what follows would be read from the wrong registers.
fn short_common(at: u16, len: u16) -> String {
    format!(
        "its SunSpec common model (1, at {at}) says that it is {len} registers long; it has 65 or 66, so the models behind it \
         cannot be found: the device does not keep to SunSpec and needs a profile of its own"
    )
}

async fn identity(client: &mut Client, models: &[Model]) -> Result<Identity, WireError> {
    let common = models.iter().find(|m| m.id == 1 && m.len >= COMMON);
    let Some(common) = common else {
        let short = models.iter().find(|m| m.id == 1).map(|m| short_common(m.addr, m.len));
        let list: Vec<String> = models.iter().map(|m| m.id.to_string()).collect();
        let none = || format!("SunSpec models ({}) without a common model (1)", list.join(", "));
        return Err(WireError::Wrong(short.unwrap_or_else(none)));
    };
    let from = common.addr.checked_add(2);
    let from = from.ok_or_else(|| WireError::Wrong("a common model at the end of all registers".into()))?;
    let words = ask(client, common.unit, from, COMMON).await?;
    let text = |from: usize, n: usize| {
        let part = words.get(from..from + n).unwrap_or(&[]);
        let bytes: Vec<u8> = part.iter().flat_map(|w| w.to_be_bytes()).collect();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
    };
    Ok(Identity {
        manufacturer: text(0, 16),
        model: text(16, 16),
        version: text(40, 8),
        serial: text(48, 16),
    })
}
