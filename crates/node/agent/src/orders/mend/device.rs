//! Resets one device: a network interface, which loses its carrier and gets it back, or an NVMe controller.
//!
//! Going down takes the routes of an interface with it (`ip-link(8)`), and its IPv6 addresses unless the kernel is told to keep
//! them. What it had is brought back by the same program that takes it down, so that a machine whose agent dies in the middle
//! is not lost.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use muster_base::error::chain;

use super::{MendHands, done, failed, refused};
use crate::orders::execute::Outcome;
use crate::orders::program::ProgramError;

const ASK_LIMIT: Duration = Duration::from_secs(10);
const ACT_LIMIT: Duration = Duration::from_secs(60);
/// A link is trained again, or a controller ready, within this.
const BACK_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The routes that the kernel does not make by itself.
fn routes(device: &str, said: &str) -> Vec<String> {
    let own =
        |line: &&str| !line.is_empty() && !line.contains("proto kernel") && !line.contains("table local");
    let state = ["linkdown", "dead", "offload", "trap", "rt_offload", "rt_trap", "onlink", "\\"];
    let lines = said.lines().map(str::trim).filter(own);
    lines
        .map(|line| {
            let words = line.split_whitespace().filter(|word| !state.contains(word));
            let route = words.collect::<Vec<_>>().join(" ");
            // A gateway counts before the address that leads to it is there.
            let onlink = if line.contains(" via ") { " onlink" } else { "" };
            format!("route replace {route} dev {device}{onlink}")
        })
        .collect()
}

impl MendHands {
    pub(in crate::orders) async fn reset_device(&self, device: &str) -> Outcome {
        if let Some(controller) = self.controller(device) {
            return self.reset_controller(device, &controller).await;
        }
        match self.link(device).await {
            Ok(Some(link)) if link.contains("LOOPBACK") || self.carries_others(device) => {
                refused(format!("{device} is no interface of the hardware: it is not reset"))
            }
            Ok(Some(_)) => self.reset_interface(device).await.unwrap_or_else(|error| Outcome::failed(&error)),
            Ok(None) => refused(format!(
                "arguments.device: {device} is neither a network interface nor an NVMe controller of this machine: there is no reset for it"
            )),
            Err(error) => Outcome::failed(&error),
        }
    }

    /// The directory of the NVMe controller that `device` is, or is a part of.
    fn controller(&self, device: &str) -> Option<PathBuf> {
        let class = self.roots.sys.join("class");
        let own = class.join("nvme").join(device);
        let of_part = class.join("block").join(device);
        let parts = [own, of_part.join("device"), of_part.join("../device")];
        parts.into_iter().find(|dir| dir.join("reset_controller").exists())
    }

    async fn reset_controller(&self, device: &str, dir: &std::path::Path) -> Outcome {
        let path = dir.join("reset_controller");
        let began = tokio::time::Instant::now();
        // The write waits for the controller.
        let written = tokio::task::spawn_blocking(move || fs::write(path, "1")).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            return failed(format!("the controller of {device} takes no reset: {error}"), &[]);
        }
        let state = || fs::read_to_string(dir.join("state")).unwrap_or_default().trim().to_owned();
        while state() != "live" {
            if BACK_WITHIN < began.elapsed() {
                let state = state();
                return failed(
                    format!("the controller of {device} was reset and is {state:?}, not live"),
                    &[],
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        done(
            format!(
                "the controller of {device} was reset and is live after {} ms",
                began.elapsed().as_millis()
            ),
            &[],
        )
    }

    fn carries_others(&self, device: &str) -> bool {
        let dir = self.roots.sys.join("class/net").join(device);
        ["bridge", "bonding", "tun_flags"].iter().any(|mark| dir.join(mark).exists())
    }

    async fn ip(&self, arguments: &[&str], limit: Duration) -> Result<(bool, String, String), ProgramError> {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let said = self.programs.ip.run(&arguments, limit).await?;
        Ok((said.status.success(), said.output, said.words))
    }

    /// What the kernel says of an interface; none: there is no such.
    async fn link(&self, device: &str) -> Result<Option<String>, ProgramError> {
        let (found, link, _) = self.ip(&["-o", "link", "show", "dev", device], ASK_LIMIT).await?;
        Ok(found.then_some(link))
    }

    /// What `ip` says against its lines.
    async fn tell(&self, batches: &[(&str, String, Vec<String>)]) -> Result<String, ProgramError> {
        let mut wrong = String::new();
        for (family, file, _) in batches {
            let (whole, _, words) = self.ip(&[family, "-force", "-batch", file], ACT_LIMIT).await?;
            wrong.extend((!whole).then_some(words));
        }
        Ok(wrong)
    }

    async fn reset_interface(&self, device: &str) -> Result<Outcome, ProgramError> {
        let mut lines = vec![format!("link set dev {device} down"), format!("link set dev {device} up")];
        let mut batches = Vec::new();
        for family in ["-4", "-6"] {
            let asked = [family, "-o", "route", "show", "table", "all", "dev", device];
            let (_, said, _) = self.ip(&asked, ASK_LIMIT).await?;
            lines.extend(routes(device, &said));
            let file = self.data_dir.join(format!("reset{family}.batch"));
            if let Err(error) = fs::write(&file, lines.join("\n") + "\n") {
                let file = file.display();
                return Ok(failed(format!("{file}: cannot be written, so nothing was done: {error}"), &[]));
            }
            batches.push((family, file.display().to_string(), std::mem::take(&mut lines)));
        }
        let keep = self.roots.proc.join("sys/net/ipv6/conf").join(device).join("keep_addr_on_down");
        let before = fs::read_to_string(&keep).ok();
        if before.is_some()
            && let Err(error) = fs::write(&keep, "1")
        {
            tracing::debug!(%error, device, "IPv6 addresses may not outlive the reset");
        }
        let began = tokio::time::Instant::now();
        let told = self.tell(&batches).await;
        if let Some(before) = before
            && let Err(error) = fs::write(&keep, before.trim())
        {
            tracing::debug!(error = chain(&error), device, "keep_addr_on_down stays as it is");
        }
        let wrong = told?;
        let lines: Vec<String> = batches.into_iter().flat_map(|(.., lines)| lines).collect();
        while !self.link(device).await?.is_some_and(|link| link.contains("LOWER_UP")) {
            if BACK_WITHIN < began.elapsed() {
                return Ok(failed(
                    format!("{device} was reset and has no carrier after {} s", BACK_WITHIN.as_secs()),
                    &lines,
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let took = began.elapsed().as_millis();
        Ok(if wrong.is_empty() {
            done(format!("{device} was reset and has its carrier back after {took} ms"), &lines)
        } else {
            failed(format!("{device} was reset, but not all of its routes are back: {wrong}"), &lines)
        })
    }
}
