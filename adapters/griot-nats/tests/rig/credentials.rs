//! An operator with one account, as `nsc` would make them, and credentials of a user.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Who says which accounts there are.
pub(crate) struct Operator {
    own: KeyPair,
    /// The server's own, which JetStream asks for.
    system: KeyPair,
    account: KeyPair,
}

impl Operator {
    pub(crate) fn new() -> Self {
        Self {
            own: KeyPair::new_operator(),
            system: KeyPair::new_account(),
            account: KeyPair::new_account(),
        }
    }

    /// What a server has to know.
    pub(crate) fn configuration(&self) -> String {
        let operator = token(&self.own, &self.own, json!({ "type": "operator" }));
        let mut limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        });
        let account = |limits: &Value| json!({ "type": "account", "limits": limits });
        let system = token(&self.own, &self.system, account(&limits));
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[limit] = json!(-1);
        }
        let with_jetstream = token(&self.own, &self.account, account(&limits));
        format!(
            "operator: \"{operator}\"\nsystem_account: {0}\nresolver: MEMORY\nresolver_preload {{ {0}: \"{system}\", {1}: \"{with_jetstream}\" }}\n",
            self.system.public_key(),
            self.account.public_key(),
        )
    }

    /// The credentials file of a user of the account.
    pub(crate) fn credentials(&self) -> String {
        let user = KeyPair::new_user();
        let unlimited = json!({ "type": "user", "subs": -1, "data": -1, "payload": -1 });
        let token = token(&self.account, &user, unlimited);
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// What `issuer` says of `subject`, signed.
fn token(issuer: &KeyPair, subject: &KeyPair, mut claims: Value) -> String {
    claims["version"] = json!(2);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({
        "jti": subject.public_key(),
        "iat": now.as_secs(),
        "iss": issuer.public_key(),
        "name": "griot",
        "sub": subject.public_key(),
        "nats": claims,
    });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
