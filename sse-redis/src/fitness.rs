//! Whether a server is fit to hold a log: found out when a program starts, not at its first record.

use redis::{Cmd, ErrorKind, cmd};

use crate::{
    answer,
    connect_error::ConnectError,
    epochs::Snapshot,
    keys::Keys,
    script::{End, Script},
    server::{Connection, Server},
    trouble::Trouble,
};

/// Older ones have scripts that may fail half done.
const OLDEST: u32 = 7;

/// Reaches the server, sees whether it is fit, and begins its epoch. In a cluster it is the one that has the log, and found
/// there from now on.
pub(crate) async fn check(server: Server, script: &Script) -> Result<(Server, Snapshot), ConnectError> {
    let (server, mut connection, info) = reach(server, script.keys()).await?;
    let at = connection.node().map_or_else(|| server.to_string(), ToString::to_string);
    fits(&at, &info)?;
    let missing = missing_commands(&mut connection, script).await.map_err(|trouble| unfit(&at, trouble))?;
    if !missing.is_empty() {
        let allowed: Vec<_> = missing.iter().map(|command| format!("+{command}")).collect();
        return Err(ConnectError::new(format!(
            "The user of Redis at {at} may not do all that is needed; allow it, as root: \
             ACL SETUSER <user> ~{} {}",
            script.keys().pattern(),
            allowed.join(" "),
        )));
    }
    let snapshot = script.open(&mut connection, End::No).await.map_err(|trouble| unfit(&at, trouble))?;
    Ok((server, snapshot))
}

/// Whether it is in a cluster is found out here, and what the server with the log says of itself.
async fn reach(server: Server, keys: &Keys) -> Result<(Server, Connection, String), ConnectError> {
    let at = server.to_string();
    let mut connection = server.connect().await.map_err(|trouble| unreachable(&at, trouble))?;
    let said = info(&at, &mut connection).await?;
    if server.is_in_cluster() || mode(&said) != Some("cluster") {
        return Ok((server, connection, said));
    }
    if server.is_found_by_sentinels() {
        return Err(ConnectError::new(format!(
            "Redis at {at} is in a cluster, which knows by itself who takes over; give the address of one of its servers, \
             and no sentinels"
        )));
    }
    let server = server.in_cluster(keys.slot, []);
    let mut connection = server.connect().await.map_err(|trouble| unreachable(&at, trouble))?;
    let said = info(&at, &mut connection).await?;
    Ok((server, connection, said))
}

async fn info(at: &str, connection: &mut Connection) -> Result<String, ConnectError> {
    let mut all = String::new();
    for section in ["server", "memory", "replication"] {
        let info = connection.ask(cmd("INFO").arg(section)).await.and_then(answer::text);
        all += &info.map_err(|trouble| match trouble.code() {
            Some("NOPERM") => ConnectError::of(
                format!(
                    "The user of Redis at {at} may not run INFO, which belongs to @dangerous; allow it, as root: \
                     ACL SETUSER <user> +info"
                ),
                trouble,
            ),
            _ => unreachable(at, trouble),
        })?;
    }
    Ok(all)
}

/// Valkey has a name of its own for it.
fn mode(info: &str) -> Option<&str> {
    answer::field(info, "redis_mode").or_else(|| answer::field(info, "server_mode"))
}

fn fits(at: &str, info: &str) -> Result<(), ConnectError> {
    let field = |name| answer::field(info, name).unwrap_or_default();
    let version = field("redis_version");
    if version.split('.').next().and_then(|major| major.parse().ok()).is_none_or(|major: u32| major < OLDEST)
    {
        return Err(ConnectError::new(format!(
            "Redis at {at} is version {version}; version {OLDEST} or newer is needed, or Valkey"
        )));
    }
    if mode(info) == Some("sentinel") {
        return Err(ConnectError::new(format!(
            "What answers at {at} is a sentinel; give its address by `sentinels`, and its master's name as the host"
        )));
    }
    if field("role") != "master" {
        return Err(ConnectError::new(format!(
            "Redis at {at} is a replica, which cannot be written to; give the address of its master, or one that leads \
             there"
        )));
    }
    // Without a limit nothing is ever evicted, whatever the policy.
    let (limit, policy) = (field("maxmemory"), field("maxmemory_policy"));
    if limit != "0" && policy != "noeviction" {
        return Err(ConnectError::new(format!(
            "Redis at {at} drops data when its memory is full (maxmemory-policy {policy}), the log among it; set it: \
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

fn unreachable(at: &str, trouble: Trouble) -> ConnectError {
    if let Trouble::Elsewhere(node, what) = &trouble {
        let node = node.to_string();
        if what.is_said() {
            return unreachable(&node, trouble.into_what());
        }
        let text = format!(
            "The cluster of {at} says that the log is at {node}, which is not reached from here ({what}); start it, or have \
             the servers tell addresses that are, and that stand in their certificates: cluster-announce-ip, or \
             cluster-announce-hostname with cluster-preferred-endpoint-type hostname"
        );
        return ConnectError::of(text, trouble);
    }
    let is_refused =
        matches!(&trouble, Trouble::Redis(error) if error.kind() == ErrorKind::AuthenticationFailed);
    let said = trouble.to_string();
    let text = match trouble.code() {
        _ if matches!(trouble, Trouble::NoMaster) => {
            format!("No sentinel knows the master {at}; correct the name in the address of Redis")
        }
        _ if matches!(trouble, Trouble::NotServed(_)) => {
            format!("In the cluster of {at} {said}; give it to one: redis-cli --cluster fix")
        }
        Some("NOAUTH") => {
            format!("Redis at {at} wants a password; put it into the address: redis://user:password@host")
        }
        Some("WRONGPASS") => wrong_password(at),
        Some("NOPERM") if said.contains("cluster|slots") => format!(
            "The user of Redis at {at} may not ask where in its cluster the log is; allow it, as root and on all its \
             servers: ACL SETUSER <user> +cluster|slots"
        ),
        Some("NOPERM") => {
            format!("The user of Redis at {at} may not connect as asked for; allow what it says: {said}")
        }
        Some("LOADING") => format!("Redis at {at} is still loading its data; start again when it has"),
        Some("CLUSTERDOWN") => cluster_down(at, &trouble),
        _ if is_refused => wrong_password(at),
        _ if said.contains("SELECT is not allowed in cluster")
            || said.contains("DB index is out of range") =>
        {
            format!(
                "Redis at {at} has not the database whose number is at the end of the address ({said}); leave it out, above \
                 all for a cluster, which has none"
            )
        }
        _ if said.contains("cluster support disabled") => {
            format!("Redis at {at} is in no cluster; give its own address alone")
        }
        _ if said.contains("certificate") => format!(
            "Redis at {at} shows a certificate that is not trusted ({said}); give the one that it is signed with, by \
             root_certificate, or correct the host in the address"
        ),
        _ => format!(
            "No Redis answers at {at} ({said}); start it, or correct the address, and whether it is to be TLS"
        ),
    };
    ConnectError::of(text, trouble)
}

fn wrong_password(at: &str) -> String {
    format!("Redis at {at} does not take the user's name or password; correct them in the address")
}

fn cluster_down(at: &str, trouble: &Trouble) -> String {
    format!(
        "The cluster of Redis at {at} does not work ({trouble}); see what is missing: redis-cli --cluster check"
    )
}

fn unfit(at: &str, trouble: Trouble) -> ConnectError {
    let text = match trouble.code() {
        Some("OOM") => {
            format!("Redis at {at} has no memory left; give it more (maxmemory), or remove what is in it")
        }
        Some("NOREPLICAS") => format!(
            "Redis at {at} has fewer replicas than min-replicas-to-write demands; start them, or demand fewer"
        ),
        Some("MISCONF") => {
            format!("Redis at {at} cannot save its data; see its log, and make room on its disk")
        }
        Some("WRONGTYPE") => {
            format!("Redis at {at} has something else under the keys of this log; give the log another name")
        }
        Some("CLUSTERDOWN") => cluster_down(at, &trouble),
        Some("MOVED" | "ASK" | "TRYAGAIN") => format!(
            "The log is being moved from Redis at {at} to another server of its cluster; start again when it is there"
        ),
        Some("LOADING" | "READONLY") | None => return unreachable(at, trouble),
        Some(_) => format!("Redis at {at} does not run what is needed ({trouble}); change what it says"),
    };
    ConnectError::of(text, trouble)
}
