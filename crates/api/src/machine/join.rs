//! What a new machine, the one who invited it and the machine database agree on when it joins.

/// Namespace of the tokens.
pub const TOKEN_NAMESPACE: &str = "kube-system";
/// Name of a token's Secret, before its id.
pub const TOKEN_PREFIX: &str = "bootstrap-token-";
/// Type of a token's Secret, as Kubernetes has it.
pub const TOKEN_TYPE: &str = "bootstrap.kubernetes.io/token";
/// Key of a token's Secret: SHA-256 of the secret half, in hexadecimal. Muster's own engine keeps only that.
pub const TOKEN_HASH: &str = "token-hash";
/// User name of whoever shows a token, before its id.
pub const TOKEN_USER: &str = "system:bootstrap:";
/// Group of whoever shows any token.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// Group of whoever shows a token of Muster.
pub const JOINING: &str = "system:bootstrappers:muster";
/// The signer of agents' certificates, on any Kubernetes.
pub const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Group of agents.
pub const NODES: &str = "system:nodes";
/// User name of an agent, before the name of its machine.
pub const NODE_USER: &str = "system:node:";
/// The signer of doctors' certificates, on any Kubernetes.
pub const DOCTOR_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// Group of doctors.
pub const DOCTORS: &str = "system:muster:doctor";
/// User name of a doctor, before the name of its machine.
pub const DOCTOR_USER: &str = "system:muster:doctor:";
/// Annotation of a request: the serial number the machine's firmware tells.
pub const SERIAL: &str = "muster.dev/serial";
/// Reason of a denial: the machine is expected under another name, with which the message begins.
pub const EXPECTED_AS: &str = "ExpectedAs";

/// What a token says besides letting a machine in. It travels in groups, which any Kubernetes takes from a token's
/// `auth-extra-groups` and notes in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invitation {
    /// The only machine it is for; empty = any.
    pub machine: String,
    /// Site of a machine that nobody expected; empty = such a machine is refused.
    pub site: String,
    /// Role of a machine that nobody expected; empty = none yet.
    pub role: String,
}

impl Invitation {
    /// The groups.
    pub fn groups(&self) -> Vec<String> {
        let rows = [("machine", &self.machine), ("site", &self.site), ("role", &self.role)];
        let named = rows.into_iter().filter(|(_, value)| !value.is_empty());
        // Kubernetes allows no dot in such a group, and names allow no colon.
        std::iter::once(JOINING.to_owned())
            .chain(named.map(|(key, value)| format!("{JOINING}:{key}:{}", value.replace('.', ":"))))
            .collect()
    }

    /// Reads the groups of a request; `None` where it came with no token of Muster.
    pub fn of_groups<'a>(groups: impl IntoIterator<Item = &'a String>) -> Option<Self> {
        let mut invited = None;
        let mut found = Self::default();
        for group in groups {
            if group == JOINING {
                invited = Some(());
            }
            let rest = group.strip_prefix(JOINING).and_then(|rest| rest.strip_prefix(':'));
            let Some((key, value)) = rest.and_then(|rest| rest.split_once(':')) else { continue };
            let value = value.replace(':', ".");
            match key {
                "machine" => found.machine = value,
                "site" => found.site = value,
                "role" => found.role = value,
                _ => {}
            }
        }
        invited.map(|()| found)
    }
}

/// The two halves of `ID.SECRET`: six and sixteen lower-case letters and digits.
pub fn token_parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let fine = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (fine(id, 6) && fine(secret, 16)).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_travels_in_groups_and_only_with_the_group_of_muster() {
        let invitation = Invitation { machine: "m1.rack.a".into(), site: "a".into(), role: String::new() };
        let groups = invitation.groups();
        assert_eq!(groups[1], "system:bootstrappers:muster:machine:m1:rack:a");
        assert_eq!(Invitation::of_groups(&groups), Some(invitation));
        assert_eq!(Invitation::of_groups(&groups[1..]), None);
    }

    #[test]
    fn a_token_has_two_halves_of_fixed_length() {
        assert_eq!(token_parts("abc123.0123456789abcdef"), Some(("abc123", "0123456789abcdef")));
        for bad in ["abc123", "abc12.0123456789abcdef", "ABC123.0123456789abcdef", "abc123.0123456789abcde!"]
        {
            assert_eq!(token_parts(bad), None, "{bad}");
        }
    }
}
