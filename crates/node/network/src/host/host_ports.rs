//! What the portmap plugin leaves in iptables: its top chains for ever, and those of pods that were not torn down.

use std::fmt::Write;
use std::time::Duration;

use crate::command::{CommandError, Tool};

const IPTABLES: Tool = Tool { program: "iptables", package: "iptables" };
const RESTORE: Tool = Tool { program: "iptables-restore", package: "iptables" };
const LIMIT: Duration = Duration::from_secs(10);

const DISPATCH: &str = "CNI-HOSTPORT-DNAT";
const TOP: [&str; 3] = [DISPATCH, "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"];
/// The plugin writes the network's name into the comment of the rule that leads to a pod's chain.
const OURS: &str = "name: \\\"muster\\\"";

/// Removes our pods' chains, and the top chains unless another network's pods still use them.
pub(super) async fn remove() -> Result<(), CommandError> {
    let listing = IPTABLES.run(&["-w", "-t", "nat", "-S"], "", LIMIT).await?;
    let removal = removal(&String::from_utf8_lossy(&listing));
    if !removal.is_empty() {
        RESTORE.run(&["-w", "--noflush"], &removal, LIMIT).await?;
    }
    Ok(())
}

/// The input of `iptables-restore` for what `iptables -S` lists; empty when there is nothing of ours.
fn removal(listing: &str) -> String {
    if !listing.lines().any(|line| line == format!("-N {DISPATCH}")) {
        return String::new();
    }
    let rules: Vec<&str> = listing.lines().filter_map(|line| line.strip_prefix("-A ")).collect();
    let (ours, others): (Vec<&str>, Vec<&str>) =
        rules.iter().filter(|rule| chain_of(rule) == DISPATCH).partition(|rule| rule.contains(OURS));
    let mut lines = String::from("*nat\n");
    let mut pods: Vec<&str> = ours.iter().filter_map(|rule| target_of(rule)).collect();
    pods.sort_unstable();
    pods.dedup();
    let mut gone = pods;
    let mut cut: Vec<&str> = ours;
    if others.is_empty() {
        cut.extend(rules.iter().filter(|rule| {
            !chain_of(rule).starts_with("CNI-") && target_of(rule).is_some_and(|target| TOP.contains(&target))
        }));
        gone.extend(TOP.iter().filter(|top| listing.lines().any(|line| line == format!("-N {top}"))));
    }
    for rule in cut {
        writeln!(lines, "-D {rule}").expect("writing to a String cannot fail");
    }
    for verb in ["-F", "-X"] {
        for chain in &gone {
            writeln!(lines, "{verb} {chain}").expect("writing to a String cannot fail");
        }
    }
    lines.push_str("COMMIT\n");
    lines
}

fn chain_of(rule: &str) -> &str {
    rule.split(' ').next().unwrap_or_default()
}

fn target_of(rule: &str) -> Option<&str> {
    let (_, target) = rule.rsplit_once(" -j ")?;
    target.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &str =
        r#"-A CNI-HOSTPORT-DNAT -m comment --comment "dnat name: \"other\" id: \"b\"" -j CNI-DN-b"#;
    const LISTING: &str = r#"-P PREROUTING ACCEPT
-N CNI-DN-a
-N CNI-HOSTPORT-DNAT
-N CNI-HOSTPORT-MASQ
-N CNI-HOSTPORT-SETMARK
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -j SOMEBODY-ELSE
-A CNI-DN-a -s 10.244.1.0/24 -j CNI-HOSTPORT-SETMARK
-A CNI-HOSTPORT-DNAT -m comment --comment "dnat name: \"muster\" id: \"a\"" -j CNI-DN-a
"#;

    #[test]
    fn our_chains_go_and_nothing_else() {
        assert_eq!(
            removal(LISTING),
            r#"*nat
-D CNI-HOSTPORT-DNAT -m comment --comment "dnat name: \"muster\" id: \"a\"" -j CNI-DN-a
-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-F CNI-DN-a
-F CNI-HOSTPORT-DNAT
-F CNI-HOSTPORT-SETMARK
-F CNI-HOSTPORT-MASQ
-X CNI-DN-a
-X CNI-HOSTPORT-DNAT
-X CNI-HOSTPORT-SETMARK
-X CNI-HOSTPORT-MASQ
COMMIT
"#
        );
        assert_eq!(removal("-P PREROUTING ACCEPT\n-A PREROUTING -j SOMEBODY-ELSE\n"), "");
    }

    #[test]
    fn the_top_chains_stay_while_another_network_uses_them() {
        let removal = removal(&format!("{LISTING}{FOREIGN}\n"));
        assert!(removal.contains("-X CNI-DN-a\n"), "{removal}");
        assert!(!removal.contains("CNI-DN-b") && !removal.contains("-X CNI-HOSTPORT"), "{removal}");
        assert!(!removal.contains("-D PREROUTING"), "{removal}");
    }
}
