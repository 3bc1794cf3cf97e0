//! A web service that limits each of its clients, behind proxies or not.
//!
//! ```sh
//! cargo run -p tidegate-docs --example axum -- 10.0.0.0/8
//! ```
//!
//! The arguments are the networks of the proxies that are trusted to say who calls.

#![allow(clippy::print_stdout, reason = "it is a program")]

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use tidegate_ratelimit::{
    Clock, Denied, KeyedLimiter, Quota, Rate, RateLimitLayer,
    http::{ClientAddress, QuotaPolicy},
};

/// What a client may do: three requests at once, and then one a second.
pub(crate) const QUOTA: Quota = Quota::new(Rate::per_second(1), 3);

/// The service. All of its routes, and all connections, share the limiter.
pub(crate) fn app<C: Clock>(limiter: KeyedLimiter<IpAddr, C>, clients: ClientAddress) -> Router {
    let limit = RateLimitLayer::reject(limiter)
        .key(move |request: &Request| clients.key(peer(request), request.headers()))
        .cost(|request: &Request| u64::from(!is_preflight(request)))
        .on_denied(|_: Request, denied| too_many_requests(&denied));
    Router::new()
        .route("/hello", get(async || "Hello!\n").options(preflight))
        .layer(limit)
        // What is added after a layer is not within it: probes are not limited, and what lets browsers
        // read a response is on those as well that the limit gives.
        .route("/health", get(async || "well\n"))
        .layer(map_response(allow_any_origin))
}

/// Where the connection comes from. All for whom that is unknown are one client.
fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(address)| address.ip())
}

/// Browsers ask before they send some requests, and cannot be told to come back later.
fn is_preflight(request: &Request) -> bool {
    let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    request.method() == Method::OPTIONS && asks
}

fn too_many_requests(denied: &Denied) -> Response {
    let mut response = (StatusCode::TOO_MANY_REQUESTS, format!("{denied}\n")).into_response();
    if let Ok(policy) = QuotaPolicy::of("client", QUOTA) {
        policy.tell_denied(denied, response.headers_mut());
    }
    response
}

async fn preflight() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::ACCESS_CONTROL_ALLOW_METHODS, "GET")])
}

async fn allow_any_origin(mut response: Response) -> Response {
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let proxies: Vec<_> =
        std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let limiter = KeyedLimiter::builder(QUOTA).max_keys(100_000).build()?;
    let service = app(limiter, ClientAddress::behind(proxies));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/hello", listener.local_addr()?);
    axum::serve(listener, service.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
