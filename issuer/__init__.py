"""The reference central issuer: the other end of the wire.

    renzheng-issuer init DIR --name NAME              a PKI, keys and a policy for one deployment
    renzheng-issuer enroll DIR TERMINAL_ID            the device folder of one terminal: DIR/terminals/TERMINAL_ID
    renzheng-issuer broker-config DIR --port PORT     DIR/broker/mosquitto.conf, for `mosquitto -c`
    renzheng-issuer run DIR --broker mqtts://127.0.0.1:PORT
    renzheng-issuer show DIR                          decisions and counts

The same from Python: `issuer.pki.create`, `issuer.pki.enroll`, `issuer.broker.config`, `issuer.service.Issuer`.
It knows `agent.wire` and nothing else of the agent.
"""
