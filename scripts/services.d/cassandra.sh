# shellcheck shell=bash
# Cassandra from Maven: one node that syncs the commit log before it acknowledges (its default acknowledges first).

readonly CASSANDRA_VERSION=5.0.9

cassandra_install() {
  java_between 17 17 >/dev/null
  maven_install "cassandra-$CASSANDRA_VERSION" "org.apache.cassandra:cassandra-all:$CASSANDRA_VERSION"
}
cassandra_ports() { echo cql storage; }
cassandra_signal() { echo TERM; }
cassandra_exports() { echo "GRIOT_TEST_CASSANDRA=cassandra://127.0.0.1:$(port cassandra cql)/griot"; }

cassandra_yaml() {
  cat <<CONF
cluster_name: griot
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:$(port cassandra storage)"
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: $(port cassandra storage)
native_transport_port: $(port cassandra cql)
start_native_transport: true
commitlog_sync: batch
disk_failure_policy: die
commit_failure_policy: die
auto_snapshot: false
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
CONF
}

# Java 17 hides what Cassandra reaches into; this is the list its own start script has.
readonly CASSANDRA_EXPORTS=(
  java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi
  java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.unsupported/sun.misc
  jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach
)
readonly CASSANDRA_OPENS=(
  java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.io java.base/java.util
  java.base/jdk.internal.loader java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.math
  java.base/jdk.internal.module java.base/jdk.internal.util.jar java.base/sun.nio.ch
  jdk.management/com.sun.management.internal jdk.compiler/com.sun.tools.javac
)

cassandra_logging() {
  cat <<'CONF'
<configuration>
  <appender name="console" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="console"/></root>
</configuration>
CONF
}

cassandra_start() {
  local home=$ROOT/cassandra jars=$ROOT/jars/cassandra-$CASSANDRA_VERSION agent=() access=()
  agent=("$jars"/jamm-*.jar)
  access=("${CASSANDRA_EXPORTS[@]/#/--add-exports=}" "${CASSANDRA_OPENS[@]/#/--add-opens=}")
  cassandra_yaml >"$home/cassandra.yaml"
  cassandra_logging >"$home/logback.xml"
  # The last two waits are for other nodes of a cluster to be heard of. The first compiler alone is enough for a server that
  # is started more often than it is busy.
  spawn cassandra "$(java_between 17 17)" -Xms512m -Xmx512m -XX:+ExitOnOutOfMemoryError -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
    "${access[@]/%/=ALL-UNNAMED}" -javaagent:"${agent[0]}" \
    -Djdk.attach.allowAttachSelf=true -Dio.netty.tryReflectionSetAccessible=true \
    -Dcassandra.config="file://$home/cassandra.yaml" -Dlogback.configurationFile="$home/logback.xml" \
    -Dcassandra.storagedir="$home/data" -Dcassandra.logdir="$home" -Dcassandra-foreground=yes \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=0 \
    -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
}

cassandra_ready() { dial "$(port cassandra cql)" cassandra_greet; }

# STARTUP of the native protocol, version 4, must be answered by READY.
cassandra_greet() {
  printf '\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.0.0' >&8
  [ "$(take 5)" = 8400000002 ]
}
