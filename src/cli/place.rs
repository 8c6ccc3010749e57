//! Where a command finds its device: an address with a profile, or a device of a site.

use super::{BAD, USAGE, site_or_exit};
use crate::field::alone;
use crate::profile::Profile;
use crate::site::{Address, Device, Site};
use crate::units::parse_duration;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct PlaceArgs {
    /// An address (tcp://host:port, …) with --profile, or a site with --device
    place: String,
    /// Device of the site
    #[arg(long)]
    device: Option<String>,
    /// Name of a built-in profile, or path of a profile file
    #[arg(long)]
    profile: Option<String>,
    /// Unit (slave) id; default: the site's, else the profile's, else 1
    #[arg(long)]
    unit: Option<u8>,
    #[command(flatten)]
    tls: super::tls::Files,
}

/// A device, its map, and the site it belongs to.
pub struct Place {
    pub wiring: Device,
    pub profile: Profile,
    pub site: Option<Site>,
}

impl PlaceArgs {
    /// # Errors
    /// Exit status and a sentence; an empty one where the faults were told already.
    pub fn find(&self) -> Result<Place, (u8, String)> {
        if is_address(&self.place) {
            let address = self.tls.address(&self.place).map_err(|why| (USAGE, why))?;
            let name = self.profile.as_ref();
            let name = name.ok_or((USAGE, "an address needs --profile".to_owned()))?;
            let profile = super::read::find(name)?;
            let unit = self.unit.or(profile.link.unit).unwrap_or(1);
            return Ok(Place {
                wiring: alone(&address, unit, &profile),
                profile,
                site: None,
            });
        }
        let site = site_or_exit(&self.place).map_err(|code| (code, String::new()))?;
        let device = device_of(&site, self.device.as_deref())?;
        let profile = site.find_profile(&device.profile).map_err(|why| (BAD, why))?;
        let wiring = Device {
            unit: self.unit.unwrap_or(device.unit),
            address: device.address.clone().rooted(site.folder.as_deref()),
            ..device.clone()
        };
        Ok(Place {
            wiring,
            profile,
            site: Some(site),
        })
    }
}

/// Whether the text is an address, be it a wrong one, and not a site.
fn is_address(text: &str) -> bool {
    text.contains("://") || Address::parse(text).is_ok()
}

fn device_of<'s>(site: &'s Site, wanted: Option<&str>) -> Result<&'s Device, (u8, String)> {
    let devices = &site.wiring.devices;
    let found = devices.iter().find(|(id, _)| Some(id.as_str()) == wanted);
    found.map(|(_, d)| d).ok_or_else(|| {
        let names: Vec<_> = devices.keys().map(|d| d.as_str()).collect();
        (USAGE, format!("--device must be one of {}", names.join(", ")))
    })
}

/// A duration of at most `most_s` seconds, given as `--name`.
pub fn span(name: &str, text: &str, most_s: i64) -> Result<Duration, (u8, String)> {
    let wrong = |why: String| (USAGE, format!("--{name} {text}: {why}"));
    let span = parse_duration(text).map_err(|e| wrong(e.to_string()))?;
    if span.num_seconds() > most_s {
        return Err(wrong(format!("is longer than {most_s} s")));
    }
    span.to_std().map_err(|e| wrong(e.to_string()))
}
