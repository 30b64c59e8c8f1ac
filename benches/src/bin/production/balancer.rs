//! [`Balancer`]: passes connections on to the server that says it is ready.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    task::spawn_local,
    time::sleep,
};

use crate::{crowd::now, publisher::Publisher};

/// How often each server is asked.
const CHECK: Duration = Duration::from_millis(100);

/// Runs within a [`LocalSet`](tokio::task::LocalSet), as long as that.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) addr: SocketAddr,
    servers: Rc<RefCell<Vec<Rc<Backend>>>>,
}

/// A server behind it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) addr: SocketAddr,
    is_ready: Cell<bool>,
    /// When each connection was passed on to it, in nanoseconds.
    pub(crate) accepted: RefCell<Vec<u64>>,
}

impl Balancer {
    pub(crate) fn start() -> Self {
        let servers: Rc<RefCell<Vec<Rc<Backend>>>> = Rc::default();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_nodelay(true).expect("an option");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(4096).expect("a listener");
        let addr = listener.local_addr().expect("an address");
        spawn_local(accept(listener, Rc::clone(&servers)));
        Self { addr, servers }
    }

    pub(crate) async fn add(&self, addr: SocketAddr) -> Rc<Backend> {
        let backend = Rc::new(Backend { addr, is_ready: Cell::new(false), accepted: RefCell::default() });
        self.servers.borrow_mut().push(Rc::clone(&backend));
        let checked = Rc::clone(&backend);
        spawn_local(async move {
            let mut asks = Publisher::new(addr);
            loop {
                checked.is_ready.set(asks.get("/readyz").await.is_ok_and(|status| status == 200));
                sleep(CHECK).await;
            }
        });
        while !backend.is_ready.get() {
            sleep(CHECK).await;
        }
        backend
    }

    /// The one that the next connection goes to.
    pub(crate) fn ready(&self) -> Option<Rc<Backend>> {
        first_ready(&self.servers)
    }
}

fn first_ready(servers: &RefCell<Vec<Rc<Backend>>>) -> Option<Rc<Backend>> {
    servers.borrow().iter().find(|server| server.is_ready.get()).cloned()
}

async fn accept(listener: TcpListener, servers: Rc<RefCell<Vec<Rc<Backend>>>>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            sleep(CHECK).await;
            continue;
        };
        // Nobody is ready: the client finds its connection closed, and comes again.
        let Some(backend) = first_ready(&servers) else { continue };
        spawn_local(async move {
            let Ok(mut server) = TcpStream::connect(backend.addr).await else { return };
            let _ = server.set_nodelay(true);
            backend.accepted.borrow_mut().push(now());
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
