//! `list` and `show` of any of Muster's kinds.

mod problem;

use std::fmt::Debug;

use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::cli::{Format, OutputArgs, ShowArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

/// A kind that people read on the command line.
pub(crate) trait Shown: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {
    /// Everything about one object, for a person.
    fn described(&self) -> String;
}

fn noun<K: Shown>() -> String {
    K::kind(&()).to_lowercase()
}

pub(crate) async fn list<K: Shown>(args: OutputArgs) -> Result<(), Failure> {
    let client = connect(&args.client).await?;
    output::list(&client, &K::plural(&()), &K::url_path(&(), None), args.output).await
}

pub(crate) async fn show<K: Shown>(args: ShowArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    let what = format!("{} {}", noun::<K>(), args.name);
    if args.output.output != Format::Table {
        let path = format!("{}/{}", K::url_path(&(), None), args.name);
        return output::list(&client, &what, &path, args.output.output).await;
    }
    let object = Api::<K>::all(client).get(&args.name).await.map_err(|error| Failure::api(what, &error))?;
    output::text(&object.described())
}

/// One line of a description.
pub(crate) fn row(name: &str, text: impl ToString) -> Vec<String> {
    vec![format!("{name}:"), text.to_string()]
}
