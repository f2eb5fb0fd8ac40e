//! Packages of a role, by the distribution's own `apt-get` and `dpkg-query`.
//!
//! What is installed is left alone, in whatever version; nothing is removed. What `apt-get` would do is asked for and judged
//! before it may: it takes names for patterns, for wishes to remove, and for other packages that provide them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_api::role::{PACKAGES_MAX, Package, PackageFault};

use super::program::{Program, ProgramError, Said};

const QUERY_LIMIT: Duration = Duration::from_secs(60);
const UPDATE_LIMIT: Duration = Duration::from_secs(300);
const PLAN_LIMIT: Duration = Duration::from_secs(120);
const INSTALL_LIMIT: Duration = Duration::from_secs(30 * 60);

/// No question, no package that is only recommended, no pattern, settings that are there stay; whoever has the lock is
/// waited for.
const OPTIONS: [&str; 11] = [
    "-q",
    "-y",
    "--no-install-recommends",
    "-o",
    "APT::Cmd::Pattern-Only=true",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "Dpkg::Use-Pty=false",
    "-o",
    "Dpkg::Options::=--force-confold",
];
/// Says what would be done, removals too.
const PLAN: [&str; 3] = ["-s", "install", "--"];
const INSTALL: [&str; 3] = ["--no-remove", "install", "--"];

/// The programs that know of packages.
#[derive(Debug, Clone)]
pub(super) struct Apt {
    pub(super) apt_get: Program,
    pub(super) dpkg_query: Program,
}

impl Default for Apt {
    fn default() -> Self {
        let mut apt_get = Program::new("/usr/bin/apt-get");
        // The last keeps needrestart from restarting what runs.
        for (key, value) in [
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("APT_LISTCHANGES_FRONTEND", "none"),
            ("NEEDRESTART_MODE", "l"),
        ] {
            apt_get.environment.push((key.to_owned(), value.to_owned()));
        }
        Self { apt_get, dpkg_query: Program::new("/usr/bin/dpkg-query") }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PackageError {
    #[error("arguments.packages: this verb needs packages, and none is not all")]
    Nothing,
    #[error("arguments.packages: {count} packages are more than {PACKAGES_MAX}")]
    Many { count: usize },
    #[error("arguments.packages")]
    Fault(#[from] PackageFault),
    #[error("arguments.packages: {name} is named with two versions: name it once")]
    Twice { name: String },
    #[error(
        "arguments.packages: {name} is installed in version {found}, not {wanted}, and what is installed is left alone: name version {found}, or bring {wanted} in the machine's image"
    )]
    OtherVersion { name: String, found: String, wanted: String },
    #[error("arguments.packages: to install {wanted} apt would remove {removed}: nothing was done")]
    Removes { wanted: String, removed: String },
    #[error(
        "arguments.packages: apt would install {instead} for {name}, which is not that package: name the one that is meant"
    )]
    NotThat { name: String, instead: String },
    #[error(
        "packages are brought by apt alone, and {program}: take them out of the role, or use an image that has them"
    )]
    NoApt { program: ProgramError },
    #[error("apt-get would not install {wanted}: {words}{update}")]
    NoPlan { wanted: String, words: String, update: String },
    #[error("apt-get could not install {wanted} ({status}): {words}")]
    Failed { wanted: String, status: String, words: String },
    #[error("dpkg-query cannot tell what is installed ({status}): {words}")]
    Query { status: String, words: String },
    #[error("apt-get ended well, but {name} is {found}")]
    NotThere { name: String, found: String },
    #[error("cannot run the machine's package manager")]
    Program(#[source] ProgramError),
}

impl From<ProgramError> for PackageError {
    fn from(error: ProgramError) -> Self {
        if matches!(error, ProgramError::Missing { .. }) {
            return Self::NoApt { program: error };
        }
        Self::Program(error)
    }
}

impl PackageError {
    /// Whether nothing was begun: what was asked for cannot be had here.
    pub(super) const fn is_refusal(&self) -> bool {
        match self {
            Self::Nothing
            | Self::Many { .. }
            | Self::Fault(_)
            | Self::Twice { .. }
            | Self::OtherVersion { .. }
            | Self::Removes { .. }
            | Self::NotThat { .. }
            | Self::NoApt { .. } => true,
            Self::NoPlan { .. }
            | Self::Failed { .. }
            | Self::Query { .. }
            | Self::NotThere { .. }
            | Self::Program(_) => false,
        }
    }
}

/// What is known of a package: its version and whether all of it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    version: String,
    is_installed: bool,
}

/// What `apt-get` says it would do to one package.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Planned {
    Install { name: String, from: Option<String>, to: String },
    Configure { name: String },
    Remove { name: String },
}

fn words(fixed: &[&str], more: impl IntoIterator<Item = String>) -> Vec<String> {
    fixed.iter().map(|word| (*word).to_owned()).chain(more).collect()
}

fn told(command: &[&str], packages: &[Package]) -> Vec<String> {
    words(&OPTIONS, words(command, packages.iter().map(spelled)))
}

fn spelled(package: &Package) -> String {
    let version = package.version.as_ref().map(|version| format!("={version}"));
    format!("{}{}", package.name, version.unwrap_or_default())
}

fn listed(packages: &[Package]) -> String {
    packages.iter().map(spelled).collect::<Vec<_>>().join(", ")
}

fn parse(wanted: &[String]) -> Result<Vec<Package>, PackageError> {
    if wanted.is_empty() {
        return Err(PackageError::Nothing);
    }
    if PACKAGES_MAX < wanted.len() {
        return Err(PackageError::Many { count: wanted.len() });
    }
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    for text in wanted {
        let package = Package::parse(text)?;
        match packages.get_mut(&package.name) {
            Some(other) if other.version.is_none() => *other = package,
            Some(other) if package.version.is_some() && package.version != other.version => {
                return Err(PackageError::Twice { name: package.name });
            }
            Some(_) => {}
            None => {
                packages.insert(package.name.clone(), package);
            }
        }
    }
    Ok(packages.into_values().collect())
}

/// Those that are missing; what is installed must be what is wanted.
fn missing(wanted: Vec<Package>, known: &BTreeMap<String, Known>) -> Result<Vec<Package>, PackageError> {
    let mut missing = Vec::new();
    for package in wanted {
        match (known.get(&package.name).filter(|known| known.is_installed), &package.version) {
            (Some(known), Some(wanted)) if known.version != *wanted => {
                let (found, wanted) = (known.version.clone(), wanted.clone());
                return Err(PackageError::OtherVersion { name: package.name, found, wanted });
            }
            (Some(_), _) => {}
            (None, _) => missing.push(package),
        }
    }
    Ok(missing)
}

/// Lines of `dpkg-query -W -f '${Package}\t${Version}\t${db:Status-Abbrev}\n'`. The second letter of the state says what is.
fn read_known(output: &str) -> BTreeMap<String, Known> {
    let mut known = BTreeMap::new();
    for line in output.lines() {
        let mut fields = line.split('\t');
        if let (Some(name), Some(version), Some(state)) = (fields.next(), fields.next(), fields.next()) {
            let state = state.as_bytes();
            let is_installed = state.get(1) == Some(&b'i') && state.get(2) != Some(&b'R');
            known.insert(name.to_owned(), Known { version: version.to_owned(), is_installed });
        }
    }
    known
}

/// Lines of `apt-get -s install`: `Inst NAME [OLD] (NEW …)`, `Conf NAME (…)`, `Remv NAME [OLD]`.
fn read_plan(output: &str) -> Vec<Planned> {
    let mut plan = Vec::new();
    for line in output.lines() {
        let mut fields = line.split_whitespace();
        let (Some(act), Some(name)) = (fields.next(), fields.next()) else { continue };
        let name = name.to_owned();
        match act {
            "Inst" => {
                let mut rest = fields.peekable();
                let old = |field: &&str| field.starts_with('[');
                let from = rest.next_if(old).map(|field| field.trim_matches(['[', ']']).to_owned());
                let to =
                    rest.next().map(|field| field.trim_start_matches('(').to_owned()).unwrap_or_default();
                plan.push(Planned::Install { name, from, to });
            }
            "Conf" => plan.push(Planned::Configure { name }),
            "Remv" | "Purg" => plan.push(Planned::Remove { name }),
            _ => {}
        }
    }
    plan
}

/// Whether the plan is the one that was meant; what it does beside, in words.
fn judge(wanted: &[Package], plan: &[Planned]) -> Result<Vec<String>, PackageError> {
    let mut beside = Vec::new();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut removed: Vec<&str> = Vec::new();
    for planned in plan {
        match planned {
            Planned::Remove { name } => removed.push(name),
            Planned::Configure { name } => {
                reached.insert(name);
            }
            Planned::Install { name, from, to } => {
                reached.insert(name);
                if let Some(from) = from {
                    beside.push(format!("{name}: {from} -> {to}, which it needs"));
                }
            }
        }
    }
    if !removed.is_empty() {
        return Err(PackageError::Removes { wanted: listed(wanted), removed: removed.join(", ") });
    }
    if let Some(package) = wanted.iter().find(|package| !reached.contains(package.name.as_str())) {
        let instead = reached.into_iter().collect::<Vec<_>>().join(", ");
        let instead = if instead.is_empty() { "nothing".to_owned() } else { instead };
        return Err(PackageError::NotThat { name: package.name.clone(), instead });
    }
    Ok(beside)
}

impl Apt {
    /// Brings the packages about. Says what changed; the second time nothing does.
    ///
    /// # Errors
    /// A wish that cannot be had, or what `apt-get` said last.
    pub(super) async fn ensure(&self, wanted: &[String]) -> Result<Vec<String>, PackageError> {
        let wanted = parse(wanted)?;
        let missing = missing(wanted.clone(), &self.known(&wanted).await?)?;
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let update = self.apt_get.run(&words(&["-q", "update"], []), UPDATE_LIMIT).await?;
        let mut changes = judge(&missing, &self.plan(&missing, &update).await?)?;
        let said = self.apt_get.run(&told(&INSTALL, &missing), INSTALL_LIMIT).await?;
        if !said.status.success() {
            let (wanted, status) = (listed(&missing), said.status.to_string());
            return Err(PackageError::Failed { wanted, status, words: said.words });
        }
        let known = self.known(&missing).await?;
        for package in &missing {
            changes.push(installed(package, known.get(&package.name))?);
        }
        Ok(changes)
    }

    async fn known(&self, packages: &[Package]) -> Result<BTreeMap<String, Known>, PackageError> {
        let format = "${Package}\\t${Version}\\t${db:Status-Abbrev}\\n";
        let names = packages.iter().map(|package| package.name.clone());
        let said = self.dpkg_query.run(&words(&["-W", "-f", format, "--"], names), QUERY_LIMIT).await?;
        // 1: some of them are not known.
        match said.status.code() {
            Some(0 | 1) => Ok(read_known(&said.output)),
            Some(_) | None => Err(PackageError::Query { status: said.status.to_string(), words: said.words }),
        }
    }

    async fn plan(&self, missing: &[Package], update: &Said) -> Result<Vec<Planned>, PackageError> {
        let said = self.apt_get.run(&told(&PLAN, missing), PLAN_LIMIT).await?;
        if said.status.success() {
            return Ok(read_plan(&said.output));
        }
        let update = match update.status.success() {
            true => String::new(),
            false => format!("; its lists may be old, for apt-get update failed: {}", update.words),
        };
        Err(PackageError::NoPlan { wanted: listed(missing), words: said.words, update })
    }
}

fn installed(package: &Package, known: Option<&Known>) -> Result<String, PackageError> {
    let name = package.name.clone();
    match known {
        Some(known) if !known.is_installed => {
            Err(PackageError::NotThere { name, found: "installed in part".to_owned() })
        }
        Some(known) if package.version.as_ref().is_some_and(|wanted| *wanted != known.version) => {
            Err(PackageError::NotThere { name, found: format!("there in version {}", known.version) })
        }
        Some(known) => Ok(format!("{name}: {} installed", known.version)),
        None => Err(PackageError::NotThere { name, found: "not installed".to_owned() }),
    }
}

#[cfg(test)]
mod tests;
