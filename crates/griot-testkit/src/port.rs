//! A port that a server may take, and take again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address on loopback where nobody listens, below the ports that the kernel takes for outgoing
/// connections: a client that tries again and again while nobody listens would otherwise end up connected
/// to itself.
pub fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
