//! Bale speaks to Bane, Bane answers, and what he says is subtitled: three crews in a pipeline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "an example stops at the first error"
)]
#![allow(clippy::similar_names, reason = "blame their parents")]

use std::sync::{Arc, Mutex};

use griot_actor::{Crew, Exception, Pipeline, System, Workers};

/// What is shown, and what went wrong on the way.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    /// The subtitles, in any order: each crew has three workers.
    pub(crate) subtitles: Vec<&'static str>,
    /// Who did not know what to say.
    pub(crate) exceptions: Vec<String>,
}

fn crew(name: &str) -> Crew<'_> {
    Crew {
        name,
        workers: 3,
        ..Crew::default()
    }
}

/// Plays the scene to its end.
pub(crate) async fn run() -> Scene {
    let system = System::new();
    let scene = Arc::new(Mutex::new(Scene::default()));
    let exception = |who: &'static str, scene: &Arc<Mutex<Scene>>| {
        let scene = Arc::clone(scene);
        move |_worker, exception: Exception<&str>| {
            scene
                .lock()
                .unwrap()
                .exceptions
                .push(format!("{who}: {exception}"));
        }
    };
    let bale = Workers::spawn(
        &system,
        crew("Bale"),
        |_, line: &'static str| async move { Ok(Some(line)) },
        exception("Bale", &scene),
    );
    let bane = Workers::spawn(
        &system,
        crew("Bane"),
        |_, line| async move {
            match line {
                "I AM VENGEANCE" => Ok(Some("I AM INEVITABLE")),
                "I AM THE NIGHT" => Ok(Some("I AM BANE")),
                "I'M BATMAN" => Ok(Some("I WILL BREAK YOU")),
                _ => Err("WHATEVER YOU SAY"),
            }
        },
        exception("Bane", &scene),
    );
    let screen = Arc::clone(&scene);
    let subtitle = Workers::<&str, ()>::spawn(
        &system,
        crew("Subtitle"),
        move |_, line| {
            screen.lock().unwrap().subtitles.push(line);
            async { Ok(None) }
        },
        exception("Subtitle", &scene),
    );
    let movie = Pipeline::start(&bale.expect("the name is free"))
        .direct(&bane.expect("the name is free"))
        .direct(&subtitle.expect("the name is free"));
    for line in ["I AM VENGEANCE", "I AM THE NIGHT", "I'M BATMAN", "HEY HO!"] {
        movie.tell(line).await.expect("Bale is on");
    }
    movie.drain().await;
    std::mem::take(&mut *scene.lock().unwrap())
}

#[tokio::main]
async fn main() {
    let scene = run().await;
    scene.subtitles.iter().for_each(|line| println!("{line}"));
    scene
        .exceptions
        .iter()
        .for_each(|exception| println!("({exception})"));
}
