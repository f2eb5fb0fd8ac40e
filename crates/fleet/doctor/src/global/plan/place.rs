//! What machines have in common, and how many bear it.

use std::collections::{BTreeMap, HashMap};

use muster_api::problem::{Suspect, SuspectKind};

/// Where a machine stands and what runs on it. What is not known is empty, and nothing is concluded from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Site.
    pub site: String,
    /// Rack.
    pub rack: String,
    /// Power feed of the rack, as `SITE/FEED` where sites call theirs alike.
    pub power: String,
    /// Operating system image.
    pub image: String,
    /// Firmware.
    pub firmware: String,
}

impl Place {
    /// Its name in a kind of domain; a rule is none.
    pub fn of(&self, kind: SuspectKind) -> &str {
        match kind {
            SuspectKind::Rack => &self.rack,
            SuspectKind::Power => &self.power,
            SuspectKind::Site => &self.site,
            SuspectKind::Image => &self.image,
            SuspectKind::Firmware => &self.firmware,
            SuspectKind::Rule => "",
        }
    }

    /// What its site calls the feed.
    pub fn feed(&self) -> &str {
        let in_site = self.power.strip_prefix(self.site.as_str()).and_then(|rest| rest.strip_prefix('/'));
        in_site.unwrap_or(&self.power)
    }

    /// Whether a suspect reaches it; a rule reaches every place of its site.
    pub fn is_reached_by(&self, suspect: &Suspect) -> bool {
        let here = suspect.site.is_empty() || suspect.site == self.site;
        here && match suspect.kind {
            SuspectKind::Rule => true,
            SuspectKind::Power => self.feed() == suspect.name,
            SuspectKind::Rack | SuspectKind::Site | SuspectKind::Image | SuspectKind::Firmware => {
                self.of(suspect.kind) == suspect.name
            }
        }
    }
}

/// How many machines bear each name, kept current machine by machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    machines: u32,
    sizes: BTreeMap<SuspectKind, HashMap<String, u32>>,
    /// The feed of each rack that has one.
    feeds: HashMap<String, String>,
}

impl Census {
    /// A machine is there.
    pub fn enter(&mut self, place: &Place) {
        self.machines += 1;
        for kind in SuspectKind::ALL {
            self.gain(kind, place.of(kind), 1);
        }
    }

    /// A machine is gone, from the place it was entered with.
    pub fn leave(&mut self, place: &Place) {
        self.machines = self.machines.saturating_sub(1);
        for kind in SuspectKind::ALL {
            self.lose(kind, place.of(kind), 1);
        }
    }

    /// A rack hangs on that feed from now on, with the machines in it. For those whose racks come and change apart from
    /// their machines: these are to be entered and to leave with [`Census::feed_of`].
    pub fn wire(&mut self, rack: &str, feed: &str) {
        let machines = self.size(SuspectKind::Rack, rack);
        let before = if feed.is_empty() {
            self.feeds.remove(rack)
        } else {
            self.feeds.insert(rack.to_owned(), feed.to_owned())
        };
        self.lose(SuspectKind::Power, &before.unwrap_or_default(), machines);
        self.gain(SuspectKind::Power, feed, machines);
    }

    /// The feed of a rack that was wired.
    pub fn feed_of(&self, rack: &str) -> &str {
        self.feeds.get(rack).map(String::as_str).unwrap_or_default()
    }

    /// So many machines more bear the name; an empty one is nobody's.
    pub fn gain(&mut self, kind: SuspectKind, name: &str, machines: u32) {
        if name.is_empty() || machines == 0 {
            return;
        }
        let sizes = self.sizes.entry(kind).or_default();
        match sizes.get_mut(name) {
            Some(size) => *size += machines,
            None => {
                sizes.insert(name.to_owned(), machines);
            }
        }
    }

    /// So many machines fewer bear the name.
    pub fn lose(&mut self, kind: SuspectKind, name: &str, machines: u32) {
        let Some(sizes) = self.sizes.get_mut(&kind) else { return };
        let Some(size) = sizes.get_mut(name) else { return };
        *size = size.saturating_sub(machines);
        if *size == 0 {
            sizes.remove(name);
        }
    }

    /// All machines.
    pub fn machines(&self) -> u32 {
        self.machines
    }

    /// Machines that bear the name.
    pub fn size(&self, kind: SuspectKind, name: &str) -> u32 {
        self.sizes.get(&kind).and_then(|sizes| sizes.get(name)).copied().unwrap_or(0)
    }

    /// How many names of a kind there are.
    pub fn domains(&self, kind: SuspectKind) -> usize {
        self.sizes.get(&kind).map_or(0, HashMap::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(site: &str, rack: &str) -> Place {
        Place { site: site.into(), rack: rack.into(), image: "debian".into(), ..Place::default() }
    }

    #[test]
    fn machines_are_counted_by_every_name_they_bear_and_what_is_empty_is_gone() {
        let mut census = Census::default();
        census.enter(&place("a", "r1"));
        census.enter(&place("a", "r2"));
        census.enter(&place("b", ""));
        let sizes = [
            census.size(SuspectKind::Site, "a"),
            census.size(SuspectKind::Rack, "r1"),
            census.size(SuspectKind::Image, "debian"),
            census.size(SuspectKind::Power, ""),
        ];
        assert_eq!((census.machines(), sizes), (3, [2, 1, 3, 0]));
        assert_eq!(census.domains(SuspectKind::Rack), 2);
        for (site, rack) in [("a", "r1"), ("a", "r2"), ("b", "")] {
            census.leave(&place(site, rack));
        }
        assert_eq!((census.machines(), census.domains(SuspectKind::Site)), (0, 0));
    }

    #[test]
    fn a_rack_takes_its_machines_from_feed_to_feed() {
        let mut census = Census::default();
        census.wire("r1", "a/1");
        let power = census.feed_of("r1").to_owned();
        census.enter(&Place { power, ..place("a", "r1") });
        census.wire("r1", "a/2");
        let size = |census: &Census, feed| census.size(SuspectKind::Power, feed);
        assert_eq!((size(&census, "a/1"), size(&census, "a/2")), (0, 1));
        census.wire("r1", "");
        assert_eq!((size(&census, "a/2"), census.feed_of("r1")), (0, ""));
    }

    #[test]
    fn a_feed_is_called_as_its_site_calls_it() {
        let mut here = place("a", "r1");
        here.power = "a/feed-1".into();
        let suspect = |site: &str| Suspect {
            kind: SuspectKind::Power,
            name: "feed-1".into(),
            site: site.into(),
            ..Suspect::default()
        };
        assert_eq!(here.feed(), "feed-1");
        assert!(here.is_reached_by(&suspect("a")) && !here.is_reached_by(&suspect("b")));
    }
}
