//! Whether a server is fit to hold a log: found out when a program starts, not at its first record.

use redis::{Cmd, ErrorKind, cmd};

use crate::{
    answer,
    connect_error::ConnectError,
    epochs::Snapshot,
    script::Script,
    server::{Connection, Server},
    trouble::Trouble,
};

/// Older ones have scripts that may fail half done.
const OLDEST: u32 = 7;

/// Reaches the server, sees whether it is fit, and begins its epoch.
pub(crate) async fn check(server: &Server, script: &Script) -> Result<Snapshot, ConnectError> {
    let mut connection = server.connect().await.map_err(|trouble| unreachable(server, trouble))?;
    let info = info(server, &mut connection).await?;
    fits(server, &info)?;
    let missing =
        missing_commands(&mut connection, script).await.map_err(|trouble| unfit(server, trouble))?;
    if !missing.is_empty() {
        let allowed: Vec<_> = missing.iter().map(|command| format!("+{command}")).collect();
        return Err(ConnectError::new(format!(
            "The user of Redis at {server} may not do all that is needed; allow it, as root: \
             ACL SETUSER <user> ~{} {}",
            script.keys().pattern(),
            allowed.join(" "),
        )));
    }
    script.open(&mut connection, None).await.map_err(|trouble| unfit(server, trouble))
}

async fn info(server: &Server, connection: &mut Connection) -> Result<String, ConnectError> {
    let mut all = String::new();
    for section in ["server", "memory", "replication"] {
        let info = connection.ask(cmd("INFO").arg(section)).await.and_then(answer::text);
        all += &info.map_err(|trouble| match trouble.code() {
            Some("NOPERM") => ConnectError::of(
                format!(
                    "The user of Redis at {server} may not run INFO, which belongs to @dangerous; allow it, as root: \
                     ACL SETUSER <user> +info"
                ),
                trouble,
            ),
            _ => unreachable(server, trouble),
        })?;
    }
    Ok(all)
}

fn fits(server: &Server, info: &str) -> Result<(), ConnectError> {
    let field = |name| answer::field(info, name).unwrap_or_default();
    let version = field("redis_version");
    if version.split('.').next().and_then(|major| major.parse().ok()).is_none_or(|major: u32| major < OLDEST)
    {
        return Err(ConnectError::new(format!(
            "Redis at {server} is version {version}; version {OLDEST} or newer is needed, or Valkey"
        )));
    }
    match field("redis_mode") {
        "cluster" => {
            return Err(ConnectError::new(format!(
                "Redis at {server} is part of a cluster, which is not supported; use a server that is not, with replicas \
                 if it is to survive one"
            )));
        }
        "sentinel" => {
            return Err(ConnectError::new(format!(
                "What answers at {server} is a sentinel; give its address by `sentinels`, and its master's name as the host"
            )));
        }
        _ => {}
    }
    if field("role") != "master" {
        return Err(ConnectError::new(format!(
            "Redis at {server} is a replica, which cannot be written to; give the address of its master, or one that leads \
             there"
        )));
    }
    // Without a limit nothing is ever evicted, whatever the policy.
    let (limit, policy) = (field("maxmemory"), field("maxmemory_policy"));
    if limit != "0" && policy != "noeviction" {
        return Err(ConnectError::new(format!(
            "Redis at {server} drops data when its memory is full (maxmemory-policy {policy}), the log among it; set it: \
             CONFIG SET maxmemory-policy noeviction, or use a server of its own"
        )));
    }
    Ok(())
}

/// What the user may not run, by itself or from a script. Each is tried on a key that holds nothing.
async fn missing_commands(connection: &mut Connection, script: &Script) -> Result<Vec<String>, Trouble> {
    let keys = script.keys();
    let mut missing = Vec::new();
    // Of these two the latter is needed when the server has forgotten the script.
    let evals = [("evalsha", "0000000000000000000000000000000000000000"), ("eval", "return 1")];
    let mut tried: Vec<(&str, Cmd)> = Vec::new();
    for (name, script) in evals {
        tried.push((name, cmd(name).arg(script).arg(1).arg(&keys.probe).take()));
    }
    tried.push(("role", cmd("role")));
    tried.push(("time", cmd("time")));
    tried.push(("exists", cmd("exists").arg(&keys.probe).take()));
    tried.push(("hmget", cmd("hmget").arg(&keys.probe).arg("a").take()));
    tried.push(("hscan", cmd("hscan").arg(&keys.probe).arg(0).take()));
    tried.push(("xread", cmd("xread").arg("COUNT").arg(1).arg("STREAMS").arg(&keys.probe).arg("0").take()));
    tried.push(("xrange", cmd("xrange").arg(&keys.probe).arg("-").arg("+").take()));
    tried.push(("xrevrange", cmd("xrevrange").arg(&keys.probe).arg("+").arg("-").take()));
    for (name, command) in tried {
        match connection.ask(&command).await {
            Err(trouble) if trouble.code() == Some("NOPERM") => missing.push(name.to_owned()),
            Err(trouble) if !trouble.is_refusal() => return Err(trouble),
            _ => {}
        }
    }
    if !missing.iter().any(|name| name.starts_with("eval")) {
        missing.extend(script.missing_commands(connection).await?);
    }
    missing.sort_unstable();
    missing.dedup();
    Ok(missing)
}

fn unreachable(server: &Server, trouble: Trouble) -> ConnectError {
    if let Trouble::NoMaster = trouble {
        let text = format!("No sentinel knows the master {server}; correct the name in the address of Redis");
        return ConnectError::of(text, trouble);
    }
    let is_refused =
        matches!(&trouble, Trouble::Redis(error) if error.kind() == ErrorKind::AuthenticationFailed);
    let text = match trouble.code() {
        Some("NOAUTH") => {
            format!("Redis at {server} wants a password; put it into the address: redis://user:password@host")
        }
        Some("WRONGPASS") => wrong_password(server),
        Some("NOPERM") => {
            format!(
                "The user of Redis at {server} may not connect as asked for; allow what it says: {trouble}"
            )
        }
        Some("LOADING") => format!("Redis at {server} is still loading its data; start again when it has"),
        _ if is_refused => wrong_password(server),
        _ if trouble.to_string().contains("certificate") => format!(
            "Redis at {server} shows a certificate that is not trusted ({trouble}); give the one that it is signed with, by \
             root_certificate, or correct the host in the address"
        ),
        _ => format!(
            "No Redis answers at {server} ({trouble}); start it, or correct the address, and whether it is to be TLS"
        ),
    };
    ConnectError::of(text, trouble)
}

fn wrong_password(server: &Server) -> String {
    format!("Redis at {server} does not take the user's name or password; correct them in the address")
}

fn unfit(server: &Server, trouble: Trouble) -> ConnectError {
    let text = match trouble.code() {
        Some("OOM") => {
            format!("Redis at {server} has no memory left; give it more (maxmemory), or remove what is in it")
        }
        Some("NOREPLICAS") => format!(
            "Redis at {server} has fewer replicas than min-replicas-to-write demands; start them, or demand fewer"
        ),
        Some("MISCONF") => {
            format!("Redis at {server} cannot save its data; see its log, and make room on its disk")
        }
        Some("WRONGTYPE") => format!(
            "Redis at {server} has something else under the keys of this log; give the log another name"
        ),
        Some("LOADING" | "READONLY") | None => return unreachable(server, trouble),
        Some(_) => format!("Redis at {server} does not run what is needed ({trouble}); change what it says"),
    };
    ConnectError::of(text, trouble)
}
