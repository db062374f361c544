//! Takes some guests for a ride, and tells what happened.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rides::ride::{ChangeAddress, Complete, Create, Ride};
use rides::{World, WorldError, address_changes};

/// How long a chauffeur may take to be found.
const PATIENCE: Duration = Duration::from_mins(1);

/// Takes some guests for a ride through two services that speak through events, and tells what
/// happened.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where events go: `embedded`, or the URL of a broker
    #[arg(long, value_name = "URL", default_value = "embedded")]
    broker: String,

    /// Directory that keeps everything, also what earlier runs did; e-mails are in its `outbox`
    #[arg(long, value_name = "DIR", default_value = "./rides-data")]
    data_dir: PathBuf,

    /// How many guests want a ride
    #[arg(long, value_name = "N", default_value_t = 3)]
    rides: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), WorldError> {
    let outbox = arguments.data_dir.join("outbox");
    let world = World::start(&arguments.data_dir, &arguments.broker, &outbox).await?;
    for number in 0..arguments.rides {
        let ride = take(&world, number).await?;
        let path = outbox.join(format!("{ride}.eml"));
        let mailed = tokio::time::timeout(PATIENCE, exists(&path)).await;
        mailed.map_err(|_| WorldError::Late("the e-mail", PATIENCE))?;
        println!("{ride}  and {} is written", path.display());
    }
    world.drain(Duration::from_secs(10)).await;
    Ok(())
}

/// One guest's ride, from the wish to the arrival. The `number`th guest has as many second thoughts.
async fn take(world: &World, number: u32) -> Result<String, WorldError> {
    let name = uuid::Uuid::now_v7().to_string();
    let ride = world.ride(&name)?;
    let create = Create {
        pickup: "Bamako, Rue 14".to_owned(),
        dropoff: "the airport".to_owned(),
        guest: format!("guest-{number}@example.com"),
    };
    ride.ask(create).key("create").await?;
    println!("{name}  RideCreated");
    let found = |ride: &Ride, _| ride.chauffeur.clone();
    let chauffeur = ride.wait_until(PATIENCE, found).await;
    let chauffeur = chauffeur.map_err(|error| error.map_rejected(|never| match never {}))?;
    let chauffeur = chauffeur.ok_or(WorldError::Late("RideAccepted", PATIENCE))?;
    println!("{name}  RideAccepted by {chauffeur}");
    for thought in 0..number {
        let dropoff = format!("Djenné, house {thought}");
        ride.ask(ChangeAddress { dropoff }).await?;
    }
    ride.ask(Complete).await?;
    let counts = address_changes::count(world.griot().journal().as_ref()).await?;
    let changes = counts.get(&name).copied().unwrap_or_default();
    println!("{name}  RideCompleted after {changes} changes of address");
    Ok(name)
}

async fn exists(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
