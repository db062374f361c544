# shellcheck shell=bash
# Gets servers as packages: Debian's, Go modules and Maven artifacts. What is there already is left alone.

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts a server that it installs; policy-rc.d forbids that, for this one install.
apt_install() { # PACKAGE…
  command -v apt-get >/dev/null || die "cannot install $* without apt-get: use compose.yaml on a system other than Debian"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "run as root, or install sudo, or first: apt-get install $*"
  say "installing $* from Debian"
  # shellcheck disable=SC2016 # meant for the inner shell
  as_root flock /var/cache/apt sh -euc '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap "rm -f $policy" EXIT
      printf "#!/bin/sh\nexit 101\n" >$policy
      chmod +x $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
  ' sh "$@" >>"$ROOT/install.log" 2>&1 || die "apt-get install $* failed: see $ROOT/install.log"
}

# Leaves the programs of PACKAGE… in $ROOT/bin/NAME-VERSION.
go_install() { # NAME VERSION PACKAGE…
  local directory=$ROOT/bin/$1-$2 version=$2
  [ -d "$directory" ] && return
  command -v go >/dev/null || die "building $1 needs Go 1.21 or later in PATH: install it from https://go.dev/dl"
  say "building $1 $2 with $(go env GOVERSION)"
  shift 2
  GOBIN=$directory.new GOFLAGS='' go install "${@/%/@$version}" >>"$ROOT/install.log" 2>&1 ||
    die "go install ${*/%/@$version} failed: see $ROOT/install.log"
  mv "$directory.new" "$directory"
}

# Leaves ARTIFACT… (group:name:version) and what they need in $ROOT/jars/NAME.
maven_install() { # NAME ARTIFACT…
  local directory=$ROOT/jars/$1 artifact group name version
  [ -d "$directory" ] && return
  command -v mvn >/dev/null || die "downloading $1 needs Maven in PATH: apt-get install maven"
  say "downloading $1 with Maven"
  shift
  mkdir -p "$directory.new"
  {
    echo '<project><modelVersion>4.0.0</modelVersion><groupId>griot</groupId><artifactId>jars</artifactId>'
    echo '<version>1</version><packaging>pom</packaging><dependencies>'
    for artifact in "$@"; do
      IFS=: read -r group name version <<<"$artifact"
      echo "<dependency><groupId>$group</groupId><artifactId>$name</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$directory.new/pom.xml"
  mvn -B -q -f "$directory.new/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$directory.new" >>"$ROOT/install.log" 2>&1 ||
    die "mvn dependency:copy-dependencies of $* failed: see $ROOT/install.log"
  mv "$directory.new" "$directory"
}

# The first Java whose major version is from FIRST to LAST.
java_between() { # FIRST LAST
  local java version
  for java in "${JAVA_HOME:-/nowhere}/bin/java" "$(type -P java)" /usr/lib/jvm/*/bin/java; do
    [ -x "$java" ] || continue
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    if [ "${version:-0}" -ge "$1" ] && [ "$version" -le "$2" ]; then
      echo "$java"
      return
    fi
  done
  die "needs a JDK from $1 to $2, in JAVA_HOME, PATH or /usr/lib/jvm: apt-get install openjdk-$1-jdk-headless"
}
