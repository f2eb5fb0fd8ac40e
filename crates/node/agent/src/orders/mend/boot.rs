//! Boots the machine anew. Whether it did shows in the identity of the boot: nothing else ends such an order.

use std::time::Duration;

use super::{MendHands, failed, refused};
use crate::config::Reboot;
use crate::orders::execute::Outcome;
use crate::orders::program::Program;

/// The service manager answers at once, and ends the machine afterwards.
const ASK_LIMIT: Duration = Duration::from_secs(60);

impl MendHands {
    pub(in crate::orders) async fn reboot(&self) -> Outcome {
        let (program, arguments) = match &self.programs.reboot {
            Reboot::Never(why) => return refused(*why),
            Reboot::Program(path) => (Program { path: path.clone(), environment: Vec::new() }, Vec::new()),
            Reboot::Systemd if self.programs.booted.is_dir() => {
                (self.programs.systemctl.clone(), vec!["--no-ask-password".to_owned(), "reboot".to_owned()])
            }
            Reboot::Systemd => {
                let booted = self.programs.booted.display();
                return refused(format!(
                    "systemd does not run this machine ({booted} is not there), and the agent was told no program that boots it (--reboot-program)"
                ));
            }
        };
        match program.run(&arguments, ASK_LIMIT).await {
            Ok(said) if said.status.success() => Outcome::Begun {
                message: "the machine was told to boot anew; its next boot is waited for".to_owned(),
            },
            Ok(said) => failed(format!("{} {}: {}", program.path.display(), said.status, said.words), &[]),
            Err(error) => Outcome::failed(&error),
        }
    }
}

/// What became of a reboot that was begun in the boot `then`, seen in the boot `now`.
pub(in crate::orders) fn seen(then: &str, now: &str) -> Option<String> {
    (!then.is_empty() && !now.is_empty() && then != now)
        .then(|| format!("the machine has booted anew: boot {now}"))
}
