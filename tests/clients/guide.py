import asyncio
import websockets
import json

async def chat_client():
    uri = "ws://localhost:8000/ws/chat/1/session-123/"
    
    async with websockets.connect(uri) as websocket:
        # Send a message
        message = {
            "message": "Hello, I need help with my order",
            "type": "user"
        }
        await websocket.send(json.dumps(message))
        
        # Listen for responses
        async for response in websocket:
            data = json.loads(response)
            print(f"Received: {data['message']} from {data['sender']}")

# Run the client
asyncio.run(chat_client())
