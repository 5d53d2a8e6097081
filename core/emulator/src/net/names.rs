//! What else than this machine's own names the certificates are for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Addresses that every certificate is for: this machine, and the host machine seen from an Android emulator.
pub(crate) const ALWAYS: [IpAddr; 3] =
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2))];
/// An authority that has been asked to sign for more than this begins anew.
const MOST: usize = 32;

/// Addresses and host names, in the order of sorting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) addresses: BTreeSet<IpAddr>,
    pub(crate) hosts: BTreeSet<String>,
}

impl Names {
    /// Adds an address or a host name; false if it is neither.
    pub(crate) fn add(&mut self, name: &str) -> bool {
        if let Ok(address) = name.parse() {
            self.addresses.insert(address);
            return true;
        }
        let name = name.to_ascii_lowercase();
        let is_host = is_host(&name);
        if is_host {
            self.hosts.insert(name);
        }
        is_host
    }

    /// Those of them that an authority for this machine and its neighbours may not sign for anyway.
    pub(crate) fn beyond_the_neighbourhood(&self) -> Self {
        let is_neighbour = |host: &String| host == "localhost" || host.ends_with(".local");
        Self {
            addresses: self.addresses.iter().filter(|address| !ALWAYS.contains(address)).copied().collect(),
            hosts: self.hosts.iter().filter(|host| !is_neighbour(host)).cloned().collect(),
        }
    }

    /// These and those that were known before, unless that becomes too many: what comes and goes (a name today, another
    /// address tomorrow) finds the same authority.
    pub(crate) fn with(&self, known: &Self) -> Self {
        let mut all = self.clone();
        all.addresses.extend(&known.addresses);
        all.hosts.extend(known.hosts.iter().cloned());
        if all.addresses.len() + all.hosts.len() > MOST { self.clone() } else { all }
    }

    pub(crate) fn includes(&self, others: &Self) -> bool {
        // A name permits those below it (RFC 5280 §4.2.1.10).
        let is_below =
            |host: &str, known: &String| host.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'));
        let is_known = |host: &String| self.hosts.iter().any(|known| known == host || is_below(host, known));
        self.addresses.is_superset(&others.addresses) && others.hosts.iter().all(is_known)
    }
}

/// Labels of letters, digits and hyphens (RFC 1123 §2.1), the last of them not all digits.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inside && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_host_names_are_told_from_other_texts() {
        let mut names = Names::default();
        for good in ["192.0.2.7", "::1", "10.0.2.2", "emulator", "My-Mac.local", "a.example.com"] {
            assert!(names.add(good), "{good}");
        }
        for bad in ["", "*.local", "a_b", "-a", "a-", "a..b", "1.2.3", "a b", "https://a", "a:1", &"a".repeat(64)] {
            assert!(!names.add(bad), "{bad}");
        }
        assert_eq!((names.addresses.len(), names.hosts.len()), (3, 3));
        let beyond = names.beyond_the_neighbourhood();
        assert_eq!(beyond.hosts.iter().map(String::as_str).collect::<Vec<_>>(), ["a.example.com", "emulator"]);
        assert_eq!(beyond.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(), ["192.0.2.7"]);
        assert!(names.includes(&beyond) && !beyond.includes(&names));
    }

    #[test]
    fn what_was_known_before_stays_known_up_to_a_bound() {
        let named = |names: &[String]| {
            let mut all = Names::default();
            assert!(names.iter().all(|name| all.add(name)));
            all
        };
        let (old, new) = (named(&["a.example".to_owned(), "192.0.2.1".to_owned()]), named(&["b.example".to_owned()]));
        assert!(old.includes(&named(&["b.a.example".to_owned()])) && !old.includes(&named(&["ba.example".to_owned()])));
        let both = new.with(&old);
        assert!(both.includes(&old) && both.includes(&new));
        let many = named(&(0..MOST).map(|number| format!("n{number}.example")).collect::<Vec<_>>());
        assert_eq!(new.with(&many), new);
    }
}
