#!/bin/sh
# Generates destination/sdk/ from the wire contract. Fivetran's build runs it before PyInstaller.
#
# Every file of protos/ is compiled. The official file of the same name is used instead where
# protos/upstream.lock pins it (commit and sha256, written by `make protos COMMIT=...`) and the network
# lets it through: all of them are official, or none.
set -eu
cd "$(dirname "$0")"

python=${PYTHON:-python3}
source=protos
base_url=${PROTOS_URL:-https://raw.githubusercontent.com/fivetran/fivetran_partner_sdk}

fetch() {
    commit=$(sed -n 's/^commit //p' protos/upstream.lock)
    rm -rf protos/upstream
    mkdir -p protos/upstream
    for name in $(sed -n 's/^[0-9a-f]\{64\}  //p' protos/upstream.lock); do
        curl --fail --silent --show-error --location --connect-timeout 5 --max-time 20 \
            --output "protos/upstream/$name" "$base_url/$commit/$name" || return 1
    done
    for name in $names; do
        test -f "protos/upstream/$name" || return 1
    done
    (cd protos/upstream && grep '^[0-9a-f]\{64\}  ' ../upstream.lock | sha256sum --check --quiet)
}

names=$(cd protos && echo *.proto)
if [ -f protos/upstream.lock ]; then
    if fetch; then
        source=protos/upstream
    else
        echo "build.sh: the pinned official protos cannot be fetched: compiling protos/ instead" >&2
        rm -rf protos/upstream
    fi
fi

# The compiler goes to a directory of its own: PyInstaller would pack it into the binary.
if ! "$python" -c 'import grpc_tools' 2>/dev/null; then
    requirement=$(sed -n 's/^\(grpcio-tools==[^ ]*\).*/\1/p' requirements.lock)
    "$python" -m pip install --quiet --upgrade --target build/tools "$requirement"
    PYTHONPATH=build/tools${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
fi

rm -rf destination/sdk
mkdir -p destination/sdk
"$python" -m grpc_tools.protoc --proto_path="$source" --python_out=destination/sdk \
    --pyi_out=destination/sdk --grpc_python_out=destination/sdk $names
echo '"""Generated from protos/ by build.sh."""' > destination/sdk/__init__.py

# protoc writes imports as if the files stood at the root.
for file in destination/sdk/*_pb2.py destination/sdk/*_pb2.pyi destination/sdk/*_pb2_grpc.py; do
    sed 's/^import \([a-z_]*_pb2\) as/from . import \1 as/
         s/^from \([a-z_]*_pb2\) import/from .\1 import/' "$file" > "$file.new"
    mv "$file.new" "$file"
done
