# shellcheck shell=bash
# Kafka from Maven: one node that is broker and controller (KRaft).
#
# Four listeners: CLIENT for everybody; SECURED for those who speak TLS and prove who they are; PROXIED, which tells clients that the broker lives at the port `toxic`, where a
# test lets Toxiproxy listen (a client goes where the broker says it lives, past any proxy that it was first sent to);
# CONTROLLER for itself.

readonly KAFKA_VERSION=4.3.1 KAFKA_LOG4J_VERSION=2.25.4

kafka_install() {
  java_between 17 99 >/dev/null
  maven_install "kafka-$KAFKA_VERSION" "org.apache.kafka:kafka_2.13:$KAFKA_VERSION" \
    "org.apache.kafka:kafka-tools:$KAFKA_VERSION" "org.apache.logging.log4j:log4j-slf4j-impl:$KAFKA_LOG4J_VERSION"
}
kafka_ports() { echo client controller proxied toxic secured; }
kafka_signal() { echo TERM; }
kafka_exports() {
  echo "GRIOT_TEST_KAFKA=kafka://127.0.0.1:$(port kafka client)"
  echo "GRIOT_TEST_KAFKA_SECURED=127.0.0.1:$(port kafka secured)"
  echo "GRIOT_TEST_KAFKA_SECURED_CA=$ROOT/kafka/secured.pem"
  echo "GRIOT_TEST_KAFKA_TOXIC=kafka://127.0.0.1:$(port kafka toxic)"
  echo "GRIOT_TEST_KAFKA_TOXIC_UPSTREAM=127.0.0.1:$(port kafka proxied)"
}

# Replication of one is all that one node has. What protects an acknowledged message from power loss in Kafka is its
# replicas, so here it outlives kill -9, not a power cut. Topics are never made by a typing mistake: an adapter makes them,
# with the number of partitions it was told. After kill -9 the controller refuses the new broker until the old one's session
# has run out, by default after nine seconds.
kafka_properties() {
  cat <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(port kafka controller)
controller.listener.names=CONTROLLER
listeners=CLIENT://127.0.0.1:$(port kafka client),PROXIED://127.0.0.1:$(port kafka proxied),SECURED://127.0.0.1:$(port kafka secured),CONTROLLER://127.0.0.1:$(port kafka controller)
advertised.listeners=CLIENT://127.0.0.1:$(port kafka client),PROXIED://127.0.0.1:$(port kafka toxic),SECURED://127.0.0.1:$(port kafka secured)
listener.security.protocol.map=CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
listener.name.secured.ssl.keystore.location=$ROOT/kafka/secured.p12
listener.name.secured.ssl.keystore.type=PKCS12
listener.name.secured.ssl.keystore.password=griot-griot
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.secured.plain.sasl.jaas.config=$(login plain.Plain) user_griot="griot";
listener.name.secured.scram-sha-256.sasl.jaas.config=$(login scram.Scram);
listener.name.secured.scram-sha-512.sasl.jaas.config=$(login scram.Scram);
listener.name.secured.oauthbearer.sasl.jaas.config=$(login oauthbearer.OAuthBearer) unsecuredLoginStringClaim_sub="griot";
log.dirs=$ROOT/kafka/data
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
group.initial.rebalance.delay.ms=0
CONF
}

login() { echo "org.apache.kafka.common.security.$1LoginModule required"; }

# Signed by itself, so it is its own authority.
kafka_certificate() {
  local keytool store=$ROOT/kafka/secured.p12
  [ ! -e "$ROOT/kafka/secured.pem" ] || return 0
  keytool=$(dirname "$(java_between 17 99)")/keytool
  "$keytool" -genkeypair -alias kafka -keyalg EC -dname CN=127.0.0.1 -ext san=ip:127.0.0.1 -validity 3650 \
    -keystore "$store" -storetype PKCS12 -storepass griot-griot >>"$ROOT/kafka/log" 2>&1
  "$keytool" -exportcert -rfc -alias kafka -keystore "$store" -storepass griot-griot \
    -file "$ROOT/kafka/secured.pem" >>"$ROOT/kafka/log" 2>&1
}

kafka_logging() {
  cat <<CONF
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=$1
rootLogger.appenderRef.console.ref=console
CONF
}

kafka_java() { # HEAP LEVEL
  kafka_logging "$2" >"$ROOT/kafka/log4j2-$2.properties"
  printf '%s\n' "$(java_between 17 99)" -Xms64m "-Xmx$1" -XX:TieredStopAtLevel=1 -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError \
    -Dlog4j2.configurationFile="file:$ROOT/kafka/log4j2-$2.properties" -cp "$ROOT/jars/kafka-$KAFKA_VERSION/*"
}

kafka_start() {
  local java
  kafka_certificate
  kafka_properties >"$ROOT/kafka/server.properties"
  if [ ! -e "$ROOT/kafka/data/meta.properties" ]; then
    mapfile -t java < <(kafka_java 128m warn)
    "${java[@]}" kafka.tools.StorageTool format --ignore-formatted --cluster-id Z3Jpb3QtdGVzdHMtb25lMQ \
      --add-scram 'SCRAM-SHA-256=[name=griot,password=griot]' --add-scram 'SCRAM-SHA-512=[name=griot,password=griot]' \
      --config "$ROOT/kafka/server.properties" >>"$ROOT/kafka/log" 2>&1
  fi
  mapfile -t java < <(kafka_java 512m info)
  spawn kafka "${java[@]}" kafka.Kafka "$ROOT/kafka/server.properties"
}

kafka_ready() { dial "$(port kafka client)" kafka_greet; }

# A Metadata request (version 4) for no topic: the answer counts the brokers that take part, and must say one.
kafka_greet() {
  local answer
  printf '\0\0\0\x14\0\x03\0\x04\0\0\0\x01\0\x05griot\0\0\0\0\0' >&8
  answer=$(take 16)
  [ "${answer:24}" = 00000001 ]
}

# CLASS is one of org.apache.kafka.tools, as in TopicCommand or ConsoleProducer.
kafka_client() { # CLASS ARGUMENT…
  local java class=$1
  shift
  mapfile -t java < <(kafka_java 128m warn)
  exec "${java[@]}" "org.apache.kafka.tools.$class" --bootstrap-server "127.0.0.1:$(port kafka client)" "$@"
}
