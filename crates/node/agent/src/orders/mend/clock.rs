//! Restarts what keeps the clock.

use std::time::Duration;

use super::{MendHands, done, failed, refused};
use crate::orders::execute::Outcome;
use crate::orders::program::ProgramError;

/// Units that keep a clock, as Debian, Ubuntu, Fedora and openSUSE call them. A machine has one of them.
const UNITS: [&str; 7] = [
    "chrony.service",
    "chronyd.service",
    "systemd-timesyncd.service",
    "ntpsec.service",
    "ntp.service",
    "ntpd.service",
    "openntpd.service",
];
const ASK_LIMIT: Duration = Duration::from_secs(30);
const ACT_LIMIT: Duration = Duration::from_secs(120);

impl MendHands {
    pub(in crate::orders) async fn restart_time_sync(&self) -> Outcome {
        if !self.programs.booted.is_dir() {
            let booted = self.programs.booted.display();
            return refused(format!(
                "systemd does not run this machine ({booted} is not there): restart what keeps its clock by what does"
            ));
        }
        match self.restart_first().await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => refused(format!(
                "no unit keeps this machine's clock: none of {} is enabled or runs",
                UNITS.join(", ")
            )),
            Err(error) => Outcome::failed(&error),
        }
    }

    /// The first unit that runs, else the first that should.
    async fn restart_first(&self) -> Result<Option<Outcome>, ProgramError> {
        for asked in ["is-active", "is-enabled"] {
            for unit in UNITS {
                if !self.systemctl(&["--quiet", asked, "--", unit], ASK_LIMIT).await?.0 {
                    continue;
                }
                let (restarted, words) =
                    self.systemctl(&["--no-ask-password", "restart", "--", unit], ACT_LIMIT).await?;
                if !restarted {
                    return Ok(Some(failed(format!("{unit} does not restart: {words}"), &[])));
                }
                let (runs, _) = self.systemctl(&["--quiet", "is-active", "--", unit], ASK_LIMIT).await?;
                return Ok(Some(if runs {
                    done(format!("{unit} was restarted and runs"), &[])
                } else {
                    failed(
                        format!("{unit} was restarted and does not run: look at `journalctl -u {unit}`"),
                        &[],
                    )
                }));
            }
        }
        Ok(None)
    }

    async fn systemctl(&self, arguments: &[&str], limit: Duration) -> Result<(bool, String), ProgramError> {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let said = self.programs.systemctl.run(&arguments, limit).await?;
        Ok((said.status.success(), said.words))
    }
}
