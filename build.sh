#!/bin/sh
# Generates destination/sdk/ from the wire contract. Fivetran's build runs it before PyInstaller.
#
# The official proto files are used where protos/upstream.lock pins them (commit and sha256, written
# by `make protos COMMIT=...`) and the network lets them through; else the project's own statement of
# the same contract in protos/.
set -eu
cd "$(dirname "$0")"

python=${PYTHON:-python3}
source=protos
base_url=${PROTOS_URL:-https://raw.githubusercontent.com/fivetran/fivetran_partner_sdk}

fetch() {
    commit=$(sed -n 's/^commit //p' protos/upstream.lock)
    mkdir -p protos/upstream
    for name in common.proto destination_sdk.proto; do
        curl --fail --silent --show-error --location --max-time 20 \
            --output "protos/upstream/$name" "$base_url/$commit/$name" || return 1
    done
    (cd protos/upstream && grep '^[0-9a-f]\{64\}  ' ../upstream.lock | sha256sum --check --quiet)
}

if [ -f protos/upstream.lock ]; then
    if fetch; then
        source=protos/upstream
    else
        echo "build.sh: the pinned upstream protos are not to be had: compiling protos/ instead" >&2
        rm -rf protos/upstream
    fi
fi

requirement=$(sed -n 's/^\(grpcio-tools==[^ ]*\).*/\1/p' requirements.lock)
"$python" -c 'import grpc_tools' 2>/dev/null || "$python" -m pip install --quiet "$requirement"

rm -rf destination/sdk
mkdir -p destination/sdk
"$python" -m grpc_tools.protoc --proto_path="$source" --python_out=destination/sdk \
    --pyi_out=destination/sdk --grpc_python_out=destination/sdk \
    "$source/common.proto" "$source/destination_sdk.proto"
"$python" -m grpc_tools.protoc --proto_path=protos --python_out=destination/sdk \
    --pyi_out=destination/sdk --grpc_python_out=destination/sdk protos/connector_sdk.proto
echo '"""Generated from protos/ by build.sh."""' > destination/sdk/__init__.py

# protoc writes imports as if the files stood at the root.
for file in destination/sdk/*_pb2.py destination/sdk/*_pb2.pyi destination/sdk/*_pb2_grpc.py; do
    sed 's/^import \([a-z_]*_pb2\) as/from . import \1 as/
         s/^from \([a-z_]*_pb2\) import/from .\1 import/' "$file" > "$file.new"
    mv "$file.new" "$file"
done
